"""Which calls of a trace cannot be judged apart: what ties them, so that a long trace need not be read whole.

Two calls of one trace are judged together where

1. one is above the other, with whatever is between them,
2. they have the same response id or phone call id,
3. they belong to one session,
4. their usage is alike (`usage_bucket`, or `uncached_bucket`) and they overlap in time, and so are all that hang
   together in this way.

A component is what such ties connect, and the verdict on a call depends on its component, on the spans above it and on
the root of its trace alone. More ties than judging needs are harmless: more is read than had to be. Fewer would be
wrong figures, which is why these are wide: they ignore scopes and how a model is spelt.

Spans that only look like calls tie nothing. They inherit from what is above them; once a call appears below them,
they make no record.
"""

from collections.abc import Iterable
from decimal import Decimal
from hashlib import blake2b
from typing import Final, NamedTuple

from cost_exporter.domain.money import to_plain
from cost_exporter.domain.quantity import Quantity
from cost_exporter.domain.settling.agreement import uncached_bucket, usage_bucket
from cost_exporter.domain.settling.identity import call_key
from cost_exporter.domain.settling.look_alike import OVERLAP_SLACK_NS
from cost_exporter.domain.span import Call

__all__ = ["LENGTHS_MAX_NS", "OVERLAP_SLACK_NS", "Ties", "ties_of"]

LENGTHS_MAX_NS: Final = tuple(8**each * 1_000_000_000 for each in range(7))
"""Calls are found by their start among those of one class of length: what is longer cannot have ended by then."""


class Ties(NamedTuple):
    """What a call has in common with those that it may be tied to. Equal is needed, and, of usage, the time as well."""

    identity: int | None
    session: int | None
    usage: int
    uncached: int | None
    length_class: int
    """How many of `LENGTHS_MAX_NS` the call is longer than."""


def ties_of(namespace: str, call: Call) -> Ties:
    """Return what ties this call to others of its trace."""
    uncached = uncached_bucket(call)
    length_ns = call.ended_at_unix_ns - call.started_at_unix_ns
    is_delta = bool(call.session_id) and call.session_sequence is not None
    return Ties(
        # The key under which other traces find it too: one of them may learn that too many calls share it.
        # Ids that identify nothing are in it as well: whether a gateway made one up is asked of all that have it.
        identity=call_key(namespace, f"call:{call.call_id}") if call.call_id else None,
        session=_hash(("session", call.session_id)) if is_delta else None,
        usage=_hash(usage_bucket(call)),
        uncached=None if uncached is None else _hash(uncached),
        length_class=sum(length_ns > length_max_ns for length_max_ns in LENGTHS_MAX_NS),
    )


def _hash(bucket: Iterable[object]) -> int:
    """Return a signed 64-bit number that is equal for equal buckets."""
    digest = blake2b(_text(bucket).encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _text(bucket: object) -> str:
    """Return the text of a bucket: equal numbers have the same, whatever type they are of."""
    if isinstance(bucket, tuple):
        return f"({','.join(_text(each) for each in bucket)})"
    return to_plain(Decimal(bucket)) if isinstance(bucket, Quantity) else repr(bucket)
