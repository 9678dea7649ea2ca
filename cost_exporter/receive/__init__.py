"""Receiving: OTLP over gRPC and HTTP, or from inside the application, to one `Ingest`.

The way of a request: authenticate, admit, take in (bounded), decode and salvage, ingest, answer. What may go
wrong on it, and what the sender is told, is in `answer.py`.
"""
