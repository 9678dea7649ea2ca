"""Exporters: `in_process.py` stores by the code of the service, `otlp.py` sends OTLP with the cost on it.

`spooled.py` keeps batches on disk while the receiver is away (`spool.py`), `otlp_spans.py` encodes spans. Beside the
first two modules only `callfare/budget` imports anything of the service.
"""
