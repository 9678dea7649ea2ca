"""Hash what a span says, so that the same span sent again is known again (semantics 2).

Over the facts, not the bytes: protobuf and JSON, any order of attributes and any batching give one hash. Left
out is what is not the sender's: the time of receipt, and what the operator's settings make of a cost.
"""

from hashlib import blake2b

__all__ = ["content_hash"]


def content_hash(said: tuple[object, ...]) -> int:
    """Return a signed 64-bit hash of facts that are texts, numbers, flags, None, and tuples of these."""
    digest = blake2b(repr(said).encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
