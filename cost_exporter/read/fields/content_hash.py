"""Hash the content of a span, so that the same span is recognised when it is sent again (rule 2).

Over the facts, not the bytes: protobuf and JSON, any order of attributes and any batching give one hash. Left
out is what is not the sender's: the time of receipt, and what the operator's settings make of a cost.

Hashes are stored, so a span must have the same one after an upgrade: otherwise all that is sent again is a conflict.
Each fact goes in by its name, and only where it says something: a field that is added later changes no hash of a span
that does not use it. Whatever does change them needs another `_VERSION`; a test pins some.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from struct import Struct
from typing import Final, NamedTuple

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.quantity import Quantity
from cost_exporter.read.fields.fingerprint import named
from cost_exporter.read.fields.reading import CallIdentity, Origin

__all__ = ["Extras", "attribution_text", "content_hash", "rare_text"]

_VERSION: Final = b"\x01"
_EMPTY: Final = blake2b(_VERSION, digest_size=8)
"""Copied, which is cheaper than to make one."""
_SIGNED_64_BITS: Final = Struct(">q")


def content_hash(  # noqa: PLR0917 - made once a span, where keywords would cost
    ids: bytes,
    started_at_unix_ns: int,
    ended_at_unix_ns: int,
    operation: str,
    quantities: dict[str, Quantity],
    identity: CallIdentity,
    origin: Origin,
    scope_name: str,
    response_id: str,
    rare_fields: str,
) -> int:
    """Return a signed 64-bit hash of a call.

    `ids` are those of trace, span and parent, the times as sent. `rare_fields` is what few spans say; see
    `rare_text`.
    """
    template, in_order = _written(tuple(quantities))
    used = template % in_order(quantities)
    text = (
        f"{started_at_unix_ns} {ended_at_unix_ns} {operation} {used};"
        f" {identity.fingerprint} {origin.fingerprint} {scope_name} {response_id} {rare_fields}"
    ).encode("utf-8", "backslashreplace")
    hashed = _EMPTY.copy()
    hashed.update(ids + text)
    return _SIGNED_64_BITS.unpack(hashed.digest())[0]


@lru_cache(maxsize=1024)
def _written(names: tuple[str, ...]) -> tuple[str, Callable[[dict[str, Quantity]], tuple[Quantity, ...]]]:
    """Return how quantities of these names are written, in the order of their names. Spans have the same ones."""
    ordered = sorted(names)
    if len(ordered) < 2:  # noqa: PLR2004 - of one name `itemgetter` returns no tuple
        return " ".join(f"{name}=%s" for name in ordered), lambda quantities: tuple(quantities.values())
    return " ".join(f"{name}=%s" for name in ordered), itemgetter(*ordered)


class Extras(NamedTuple):
    """The fields that few spans have."""

    phone_call_id: str = ""
    error_type: str | None = None
    has_failed: bool = False
    is_refused: bool = False
    reported_cost_usd: Decimal | None = None
    reported_cost_source: str = ""
    issues: tuple[str, ...] = ()
    speed: str = ""


def rare_text(attribution: Attribution, session: NamedTuple, extras: Extras) -> str:
    """Return as text what few spans say. Of a plain span with an attribution it is `attribution_text`."""
    return " ".join(filter(None, (attribution_text(attribution), named(session), named(extras))))


@lru_cache(maxsize=4096)
def attribution_text(attribution: Attribution) -> str:
    """Return as text what an attribution says. Remembered: the spans of a trace say the same."""
    return named(attribution)
