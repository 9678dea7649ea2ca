"""One call in two traces without an id to prove it: matched by model, usage, service and time.

A framework that does not make its span the current one leaves the vendor's SDK to start a trace of its own, so that
two roots, or a framework's span and a root, describe one call. Spans of one namespace, base model, input and service
are compared where their times overlap, the scopes differ and one of them is a root. Within one connected run of
such pairs the calls of each scope are matched with those of the others in the order of their start: a run has as
many calls as the scope with the most.

Time is cut into slots, and a span is found under one key for each slot it touches: two spans that overlap share one.
A slot in which one scope has more calls alike than `ALIKE_PER_SLOT_MAX` is ignored, for the whole set of spans.

Small calls are often equal by chance, and calls without usage always are. They are compared only with those of a
framework that is known never to make its span the current one: whatever it calls begins a trace of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from cost_exporter.domain.quantity import Quantities
from cost_exporter.domain.settling.base_model import base_model
from cost_exporter.domain.span import Call, EmitterRank, SpanKey
from cost_exporter.domain.usage import CHAT_OPERATIONS

__all__ = [
    "ALIKE_PER_SLOT_MAX",
    "OUTPUT_TOKENS_SLACK",
    "OVERLAP_SLACK_NS",
    "TOKENS_MIN",
    "LookAlike",
    "alike_across_traces",
    "are_alike",
    "crowded",
    "look_alike",
    "slot_keys",
]

OVERLAP_SLACK_NS: Final = 5_000_000
OUTPUT_TOKENS_SLACK: Final = 2
"""One emitter sums the start and the end of a stream and is off by one (traceloop-anthropic 0.62)."""
TOKENS_MIN: Final = 50
"""Smaller calls are equal by chance too often."""
ALIKE_PER_SLOT_MAX: Final = 64
"""More calls alike than this of one scope in one slot are a load test or a constant prompt: they prove nothing."""
_SLOT_NS: Final = 16_000_000_000
_SLOTS_MAX: Final = 64
"""A call that takes longer than about a quarter of an hour is not looked for."""
_HASH_BITS: Final = 35
"""The rest of a key is the slot, which comes first: keys of one time lie together in the index."""

Bucket = tuple[str, str, int, str]
"""(base model, kind of operation, input tokens, service)."""


class LookAlike(NamedTuple):
    """The fields of a call that are compared with calls in other traces."""

    scope: str
    started_at_unix_ns: int
    ended_at_unix_ns: int
    output_tokens: int | None
    call_id: str
    pairs_with_any: bool
    """A root, or a framework's span that is never current; of a small call only the latter."""


def bucket_of(call: Call) -> Bucket | None:
    """Return what two spans of one call have in common; None for a call that is not looked for in other traces."""
    if call.parent_span_id is not None and call.emitter_rank is not EmitterRank.FRAMEWORK:
        return None
    usage = call.usage
    if usage.operation not in CHAT_OPERATIONS or not usage.model or call.session_sequence is not None:
        return None
    if not call.is_billable or usage.is_refused or len(_slots(call)) > _SLOTS_MAX:
        return None
    size = _size_of(call.measured_quantities)
    return None if size is None else (base_model(usage.model), *size, call.service_name)


def _size_of(quantities: Quantities) -> tuple[str, int] | None:
    """Return what calls of one size have in common: a kind, and the input tokens; None where the size says nothing."""
    if not quantities:
        return "chat without usage", 0
    input_tokens, output_tokens = quantities.get("input_tokens"), quantities.get("output_tokens", 0)
    if type(input_tokens) is not int or type(output_tokens) is not int or not input_tokens + output_tokens:
        return None
    return "chat" if input_tokens + output_tokens >= TOKENS_MIN else f"chat with {output_tokens}", input_tokens


def look_alike(call: Call) -> LookAlike:
    """Return what is compared of a call that has a bucket."""
    quantities = call.measured_quantities
    output_tokens = quantities.get("output_tokens")
    size_tokens = quantities.get("input_tokens", 0) + quantities.get("output_tokens", 0)
    return LookAlike(
        scope=call.scope,
        started_at_unix_ns=call.started_at_unix_ns,
        ended_at_unix_ns=call.ended_at_unix_ns,
        output_tokens=output_tokens if type(output_tokens) is int else None,
        call_id="" if call.has_gateway_id else call.call_id,
        pairs_with_any=call.is_detached or (call.parent_span_id is None and size_tokens >= TOKENS_MIN),
    )


def slot_keys(namespace: str, call: Call) -> list[int]:
    """Return the keys under which a call is looked for, one for each slot of time; none for most calls."""
    bucket = bucket_of(call)
    if bucket is None:
        return []
    bucket_hash = _bucket_hash(namespace, bucket)
    return [_slot_key(bucket_hash, slot) for slot in _slots(call)]


def are_alike(one: LookAlike, other: LookAlike) -> bool:
    """Return whether two spans of one bucket, in two traces, may be one call."""
    return are_compatible(one, other) and _overlap(one, other)


def are_compatible(one: LookAlike, other: LookAlike) -> bool:
    """Return whether two spans of one bucket may be one call as far as anything but time goes."""
    if one.scope == other.scope or not (one.pairs_with_any or other.pairs_with_any):
        return False
    if one.call_id and other.call_id and one.call_id != other.call_id:
        return False
    outputs = one.output_tokens, other.output_tokens
    return outputs[0] is None or outputs[1] is None or abs(outputs[0] - outputs[1]) <= OUTPUT_TOKENS_SLACK


def crowded(scopes: Iterable[str]) -> bool:
    """Return whether one scope has too many of these calls, which are given by their scopes."""
    return max(Counter(scopes).values(), default=0) > ALIKE_PER_SLOT_MAX


def alike_across_traces(
    calls: Mapping[SpanKey, Call], namespace: str, shared_keys: frozenset[int], may_be_one: Callable[[Call, Call], bool]
) -> Iterator[list[tuple[SpanKey, SpanKey]]]:
    """Yield the pairs of each bucket. `shared_keys` are those of slots that are known to be crowded."""
    if len({key[0] for key in calls}) < 2 or len({call.scope for call in calls.values()}) < 2:  # noqa: PLR2004
        return
    buckets: defaultdict[Bucket, list[SpanKey]] = defaultdict(list)
    for key, call in calls.items():
        bucket = bucket_of(call)
        if bucket is not None:
            buckets[bucket].append(key)
    for bucket, keys in buckets.items():
        if len({calls[key].scope for key in keys}) > 1:
            bucket_hash = _bucket_hash(namespace, bucket) if shared_keys else 0
            known = {slot for slot in _slots_of(calls, keys) if _slot_key(bucket_hash, slot) in shared_keys}
            yield list(_pairs(calls, keys, known | _crowded_slots(calls, keys), may_be_one))


def _pairs(
    calls: Mapping[SpanKey, Call],
    keys: Sequence[SpanKey],
    crowded_slots: set[int],
    may_be_one: Callable[[Call, Call], bool],
) -> Iterator[tuple[SpanKey, SpanKey]]:
    """Yield the pairs that may be one call, by a sweep along the start times."""
    still_open: list[SpanKey] = []
    for key in sorted(keys, key=lambda each: (calls[each].started_at_unix_ns, each)):
        call = calls[key]
        mine, slots = look_alike(call), crowded_slots.intersection(_slots(call))
        still_open = [
            each for each in still_open if calls[each].ended_at_unix_ns + OVERLAP_SLACK_NS >= call.started_at_unix_ns
        ]
        for each in still_open:
            other = calls[each]
            is_pair = each[0] != key[0] and are_alike(look_alike(other), mine) and may_be_one(other, call)
            if is_pair and slots.isdisjoint(_slots(other)):
                yield each, key
        still_open.append(key)


def _crowded_slots(calls: Mapping[SpanKey, Call], keys: Sequence[SpanKey]) -> set[int]:
    if len(keys) <= ALIKE_PER_SLOT_MAX:
        return set()
    scopes: defaultdict[int, list[str]] = defaultdict(list)
    for key in keys:
        for slot in _slots(calls[key]):
            scopes[slot].append(calls[key].scope)
    return {slot for slot, some in scopes.items() if crowded(some)}


def _slots_of(calls: Mapping[SpanKey, Call], keys: Iterable[SpanKey]) -> set[int]:
    return {slot for key in keys for slot in _slots(calls[key])}


def _slots(call: Call) -> range:
    first = call.started_at_unix_ns // _SLOT_NS
    return range(first, (call.ended_at_unix_ns + OVERLAP_SLACK_NS) // _SLOT_NS + 1)


def _overlap(one: LookAlike, other: LookAlike) -> bool:
    starts, ends = (one.started_at_unix_ns, other.started_at_unix_ns), (one.ended_at_unix_ns, other.ended_at_unix_ns)
    return max(starts) <= min(ends) + OVERLAP_SLACK_NS


def _bucket_hash(namespace: str, bucket: Bucket) -> int:
    text = "\x1f".join((namespace, *map(str, bucket)))
    digest = blake2b(text.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - _HASH_BITS)


def _slot_key(bucket_hash: int, slot: int) -> int:
    """Return a key that is positive and in the order of time, until the year 2106."""
    return slot << _HASH_BITS | bucket_hash
