"""Hash what a span says, so that the same span sent again is known again (semantics 2).

Over the facts, not the bytes: protobuf and JSON, any order of attributes and any batching give one hash. Left
out is what is not the sender's: the time of receipt, and what the operator's settings make of a cost.
"""

from hashlib import blake2b

from cost_exporter.read.reading import Reading

__all__ = ["content_hash"]


def content_hash(reading: Reading, rest: tuple[object, ...] | None) -> int:
    """Return a signed 64-bit hash of a call. `rest` is what few spans say, of the same kinds as above."""
    span, parent_span_id = reading.span, reading.parent_span_id
    quantities = reading.quantities
    names, numbers = " ".join(quantities), " ".join(map(str, quantities.values()))
    said = (
        f"{span.start_time_unix_nano} {span.end_time_unix_nano} {reading.operation} {names} {numbers}"
        f" {reading.words.fingerprint} {reading.origin.fingerprint} {reading.scope.name} {reading.response_id} {rest}"
    ).encode("utf-8", "backslashreplace")
    ids = span.trace_id + span.span_id
    digest = blake2b((ids if parent_span_id is None else ids + parent_span_id) + said, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
