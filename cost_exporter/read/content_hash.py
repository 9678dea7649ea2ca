"""Hash what a span says, so that the same span sent again is known again (semantics 2).

Over the facts, not the bytes: protobuf and JSON, any order of attributes and any batching give one hash. Left
out is what is not the sender's: the time of receipt, and what the operator's settings make of a cost.
"""

from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Final

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.quantity import Quantity
from cost_exporter.read.reading import Origin, Words

__all__ = ["content_hash", "said_by"]

_EMPTY: Final = blake2b(digest_size=8)
"""Copied, which is cheaper than to make one."""
_SIGNED_64_BITS: Final = Struct(">q")


def content_hash(  # noqa: PLR0917 - made once a span, where keywords would cost
    ids: bytes,
    started_at_unix_ns: int,
    ended_at_unix_ns: int,
    operation: str,
    quantities: dict[str, Quantity],
    words: Words,
    origin: Origin,
    scope_name: str,
    response_id: str,
    rest: object,
) -> int:
    """Return a signed 64-bit hash of a call.

    `ids` are those of trace, span and parent, the times as sent. `rest` is what few spans say, None or something
    whose text tells it; see `said_by`.
    """
    used = " ".join([*quantities, *map(str, quantities.values())]) or " "  # names, a blank, numbers
    said = (
        f"{started_at_unix_ns} {ended_at_unix_ns} {operation} {used}"
        f" {words.fingerprint} {origin.fingerprint} {scope_name} {response_id} {rest}"
    ).encode("utf-8", "backslashreplace")
    hashed = _EMPTY.copy()
    hashed.update(ids + said)
    return _SIGNED_64_BITS.unpack(hashed.digest())[0]


@lru_cache(maxsize=4096)
def said_by(attribution: Attribution) -> str:
    """Return a text that tells all of an attribution. Remembered: the spans of a trace say the same."""
    return repr(tuple(attribution))
