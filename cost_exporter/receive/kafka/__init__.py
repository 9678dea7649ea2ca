"""Spans out of Kafka: poll, one commit, offsets (`callfare consume`).

    consumer ──▶ taking ──▶ intake (the gate and the ingest of every transport)
    (poll,       (join by namespace,
     offsets)     bisect what fails)

A message's offset is given back to Kafka after its spans are committed. So whatever dies in between, its messages come
again, and the ledger recognises their spans.
"""
