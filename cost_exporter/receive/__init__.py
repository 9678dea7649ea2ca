"""Receiving: OTLP over gRPC and HTTP, or from inside the application, to one `Ingest`.

The steps of a request: authenticate, admit, receive (bounded), decode and salvage, ingest, answer. `answer.py` lists
the errors of these steps and what each sender receives.
"""
