"""Ingest in several processes, for more than one core.

`pool.py` hands requests to workers and replaces those that die, `process.py` starts one, `worker.py` is its main
program, `frames.py` what goes through the pipes between them.
"""
