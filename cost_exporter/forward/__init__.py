"""Forwarding: spans go on to Jaeger, or any OTLP backend, with what they cost on them.

A span is committed together with its record, in an outbox (`store/outbox.py`); `sender.py` takes it from
there until the backend has taken it, so ingest never waits for the backend, and a crash loses nothing.
`outgoing.py` chooses the spans, `enrich.py` writes the cost on them, `workflow_span.py` makes one of a final workflow,
`transport.py` sends by gRPC or HTTP and `answers.py` reads the answer; `in_app.py` is for the exporter `callfare_otlp`.
`cost_log.py` writes what calls cost into the log, where that was asked for.
"""
