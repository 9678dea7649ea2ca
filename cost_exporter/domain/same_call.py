"""Which spans tell of one provider call? Group them, so that each call is billed once (semantics 6).

Certain first, then likely:

1. Equal identity: the same response id, phone call id, or (session id, sequence).
2. Lineage: one span above the other, the same model, the same usage.
3. Overlap: spans of different scopes side by side, at the same time, the same model, the same usage.
4. Lineage or overlap where one states the input without what was cached, and the other says that the rest was.
5. Lineage where one of the two lost the usage or the model: it could be any call below, or above.

All but 1 are guesses, so they pair spans one to one: a group never holds two calls that are known to differ, by
different call ids, by model or usage, or as two spans of one scope side by side. Two genuinely parallel identical
calls stay two, and a span that says little never makes one call of two. The surer guess is tried first, and the
order depends on the spans alone, never on their arrival.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final

from cost_exporter.domain.base_model import are_one_model, base_model
from cost_exporter.domain.lineage import Lineage, SpanKey
from cost_exporter.domain.quantity import Quantities, Quantity
from cost_exporter.domain.span import Call
from cost_exporter.domain.usage import CHAT_OPERATIONS

__all__ = ["is_unique", "leaves_cache_out", "same_call_evidence", "same_call_groups"]

OVERLAP_SLACK_NS = 5_000_000
OVERLAPPING_MAX = 64
"""Of the spans alike that are open at one time, a span is compared with the ones that started last: two tellings of
a call start next to each other. It bounds what a crowd of identical calls without ids costs."""
OUTPUT_TOKENS_SLACK = 2
"""One emitter sums the start and the end of a stream and is off by one (traceloop-anthropic 0.62)."""

# Ollama's OpenAI API draws the id of an answer, below 999 or 999,999 (ollama, middleware/openai.go, seen 2026-11-26).
_DRAWN_ID = re.compile(r"response:(?:(?:chatcmpl|cmpl)-\d{1,3}|resp_(?:0|[1-9]\d{0,5}))")


class _Evidence(IntEnum):
    """Why two spans are guessed to tell of one call, the surer first."""

    NESTED = 0
    OVERLAPPING = 1
    NESTED_CACHE_UNSAID = 2
    OVERLAPPING_CACHE_UNSAID = 3
    USAGE_LOST = 4


_Guess = tuple[_Evidence, SpanKey, SpanKey]


@lru_cache(maxsize=4096)
def is_unique(call_id: str) -> bool:
    """Return whether equal ids mean one call. An id drawn from few says only that unequal ones are different calls."""
    return bool(call_id) and _DRAWN_ID.fullmatch(call_id) is None


def same_call_groups(calls: Mapping[SpanKey, Call], lineage: Lineage) -> list[list[SpanKey]]:
    """Return the groups of two or more spans that tell of one call."""
    groups = _Groups(calls, lineage)
    for keys in _by_identity(calls).values():
        for key in keys[1:]:
            groups.join(keys[0], key)
    for _, one, other in sorted(_guesses(calls, lineage), key=lambda guess: _likelihood(calls, guess)):
        groups.join_if_compatible(one, other)
    return groups.of_several()


def same_call_evidence(calls: Mapping[SpanKey, Call], lineage: Lineage, one: SpanKey, other: SpanKey) -> str:
    """Return in a word why two spans of one group are taken for one call."""
    mine, theirs = calls[one], calls[other]
    if (identity := _identity(mine)) is not None and identity == _identity(theirs):
        if isinstance(identity, tuple):
            return "session"
        return "phone_call_id" if mine.call_id.startswith("phone:") else "response_id"
    if not mine.usage.quantities or not theirs.usage.quantities:
        return "usage_lost"
    if _one_leaves_cache_out(mine, theirs):
        return "cache_unsaid"
    return "nested" if lineage.are_related(one, other) else "overlap"


def leaves_cache_out(part: Call, whole: Call) -> bool:
    """Return whether the one may be the other, told without its cached tokens.

    botocore's instrumentation tells so of InvokeModel (0.66b2): 50 of 1350. It is believed of Bedrock's counts only,
    where the rest and the output agree to the token.
    """
    if part.usage.provider != _BEDROCK or whole.usage.provider != _BEDROCK or part.scope == whole.scope:
        return False
    said, all_said = part.usage.quantities, whole.usage.quantities
    return (
        not _CACHED.intersection(said)
        and "output_tokens" in said
        and said["output_tokens"] == all_said.get("output_tokens")
        and not _CACHED.isdisjoint(all_said)
        and said.get("input_tokens") == _uncached_input(all_said)
    )


_BEDROCK: Final = "aws"
_CACHED: Final = frozenset({"cache_read_tokens", "cache_write_tokens"})


def _uncached_input(quantities: Quantities) -> Quantity | None:
    """Return the input without what was read from the cache or written to it; None where no input is stated."""
    input_tokens = quantities.get("input_tokens")
    if input_tokens is None:
        return None
    return input_tokens - quantities.get("cache_read_tokens", 0) - quantities.get("cache_write_tokens", 0)


def _by_identity(calls: Mapping[SpanKey, Call]) -> dict[object, list[SpanKey]]:
    found: defaultdict[object, list[SpanKey]] = defaultdict(list)
    for key, call in calls.items():
        if (identity := _identity(call)) is not None:
            found[identity].append(key)
    return {identity: sorted(keys) for identity, keys in found.items() if len(keys) > 1}


def _identity(call: Call) -> object | None:
    """Return who the call is. A session's delta is its (session, sequence), whatever its response id."""
    if call.session_id and call.session_sequence is not None:
        return call.session_id, call.session_sequence
    return call.call_id if is_unique(call.call_id) else None


def _guesses(calls: Mapping[SpanKey, Call], lineage: Lineage) -> Iterator[_Guess]:
    """Yield pairs (ancestor, descendant) or (smaller key, greater key) that may be one call, and why."""
    if len(calls) < 2:  # noqa: PLR2004 - a pair needs two
        return
    for key, call in calls.items():
        for above in lineage.calls_above(key):
            if (evidence := _look_alike(calls[above], call)) is not None:
                yield evidence, above, key
    if len({call.scope for call in calls.values()}) < 2:  # noqa: PLR2004 - by far the most traces: nothing to compare
        return
    for keys in _by_usage(calls):
        yield from _overlapping(calls, keys, _Evidence.OVERLAPPING, _outputs_agree)
    for keys in _by_uncached_input(calls):
        yield from _overlapping(calls, keys, _Evidence.OVERLAPPING_CACHE_UNSAID, _one_leaves_cache_out)


def _by_usage(calls: Mapping[SpanKey, Call]) -> Iterable[list[SpanKey]]:
    """Return the spans of one trace, model and usage (output tokens aside) that come from several scopes."""
    buckets: defaultdict[object, list[SpanKey]] = defaultdict(list)
    for key, call in calls.items():
        if call.session_sequence is None:
            usage = tuple(sorted((name, n) for name, n in call.usage.quantities.items() if name in _COMPARED))
            buckets[key[0], base_model(call.usage.model), _kind(call), usage].append(key)
    return [keys for keys in buckets.values() if len({calls[key].scope for key in keys}) > 1]


def _by_uncached_input(calls: Mapping[SpanKey, Call]) -> Iterable[list[SpanKey]]:
    """Return the spans of one trace and model whose input is alike without what was cached, where one says it was."""
    buckets: defaultdict[object, list[SpanKey]] = defaultdict(list)
    for key, call in calls.items():
        if call.usage.provider == _BEDROCK and call.session_sequence is None:
            quantities = call.usage.quantities
            usage = _uncached_input(quantities), quantities.get("output_tokens")
            buckets[key[0], base_model(call.usage.model), _kind(call), usage].append(key)
    is_uncached = _CACHED.isdisjoint
    return [keys for keys in buckets.values() if len({is_uncached(calls[key].usage.quantities) for key in keys}) > 1]


_COMPARED = frozenset({"input_tokens", "cache_read_tokens", "characters", "audio_seconds", "call_seconds", "images"})
"""Two emitters rarely agree on more than these."""


def _overlapping(
    calls: Mapping[SpanKey, Call], keys: list[SpanKey], evidence: _Evidence, are_alike: Callable[[Call, Call], bool]
) -> Iterator[_Guess]:
    """Yield the pairs from different scopes that overlap in time, by a sweep along the start times."""
    named: list[SpanKey] = []
    nameless: list[SpanKey] = []
    for key in sorted(keys, key=lambda each: (calls[each].started_at_unix_ns, each)):
        call = calls[key]
        nameless = _still_open(calls, nameless, call)
        has_name = is_unique(call.call_id)
        if has_name:  # two that have a name are one call by that, or none
            candidates = nameless
        else:
            named = _still_open(calls, named, call)
            candidates = named + nameless
        for each in candidates:
            other = calls[each]
            if other.scope != call.scope and are_alike(other, call) and _models_agree(other, call):
                yield evidence, min(key, each), max(key, each)
        (named if has_name else nameless).append(key)


def _still_open(calls: Mapping[SpanKey, Call], keys: list[SpanKey], call: Call) -> list[SpanKey]:
    """Return those that had not ended when `call` started, the latest ones."""
    still = [each for each in keys if calls[each].ended_at_unix_ns + OVERLAP_SLACK_NS >= call.started_at_unix_ns]
    return still[-OVERLAPPING_MAX:]


def _look_alike(one: Call, other: Call) -> _Evidence | None:
    """Return whether an ancestor and its descendant tell of the same call, going by what they say."""
    if one.session_sequence is not None or other.session_sequence is not None:
        return None
    if _agree(one, other):
        if one.usage.quantities and other.usage.quantities:
            return _Evidence.NESTED
        # One of the two emitters lost the usage of this call (a stream, mostly).
        return None if one.scope == other.scope else _Evidence.USAGE_LOST
    return _Evidence.NESTED_CACHE_UNSAID if _agree_but_for_cache(one, other) else None


def _agree(one: Call, other: Call) -> bool:
    """Return whether nothing that both say contradicts: the kind, the model, the usage."""
    if _kind(one) != _kind(other) or not _models_agree(one, other):
        return False
    mine, theirs = one.usage.quantities, other.usage.quantities
    if not mine or not theirs:
        return True
    return all(mine.get(name) == theirs.get(name) for name in _COMPARED) and _outputs_agree(one, other)


def _agree_but_for_cache(one: Call, other: Call) -> bool:
    return _one_leaves_cache_out(one, other) and _kind(one) == _kind(other) and _models_agree(one, other)


def _one_leaves_cache_out(one: Call, other: Call) -> bool:
    return leaves_cache_out(one, other) or leaves_cache_out(other, one)


def _models_agree(one: Call, other: Call) -> bool:
    mine, theirs = one.usage, other.usage
    return mine.model == theirs.model or are_one_model(mine.provider, mine.model, theirs.provider, theirs.model)


def _kind(call: Call) -> str:
    """Return the operation, where several names for one kind of operation count as one."""
    return "chat" if call.usage.operation in CHAT_OPERATIONS else call.usage.operation


def _outputs_agree(one: Call, other: Call) -> bool:
    mine, theirs = one.usage.quantities, other.usage.quantities
    return abs(mine.get("output_tokens", 0) - theirs.get("output_tokens", 0)) <= OUTPUT_TOKENS_SLACK


def _likelihood(calls: Mapping[SpanKey, Call], guess: _Guess) -> tuple[_Evidence, int, SpanKey, SpanKey]:
    """Return what guesses are sorted by: the surer, then the closer in time; ties go by the keys."""
    evidence, *pair = guess
    one, other = calls[pair[0]], calls[pair[1]]
    distance_ns = abs(one.started_at_unix_ns - other.started_at_unix_ns) + abs(
        one.ended_at_unix_ns - other.ended_at_unix_ns
    )
    return evidence, distance_ns, min(pair), max(pair)


class _Groups:
    """Disjoint groups of span keys that grow by joining."""

    def __init__(self, calls: Mapping[SpanKey, Call], lineage: Lineage) -> None:
        self._calls = calls
        self._lineage = lineage
        self._members: dict[SpanKey, list[SpanKey]] = {}

    def of_several(self) -> list[list[SpanKey]]:
        unique = {id(members): members for members in self._members.values()}
        return sorted(sorted(members) for members in unique.values() if len(members) > 1)

    def join(self, one: SpanKey, other: SpanKey) -> None:
        """Make one group of two different ones."""
        mine, theirs = self._group(one), self._group(other)
        assert mine is not theirs
        mine.extend(theirs)
        for key in theirs:
            self._members[key] = mine

    def join_if_compatible(self, one: SpanKey, other: SpanKey) -> None:
        """Make one group of two, unless that would put two different calls into it."""
        mine, theirs = self._group(one), self._group(other)
        if mine is theirs or any(self._differ(a, b) for a in mine for b in theirs):
            return
        # Spans of one identity may say what they like of it: one that agrees is enough.
        named, others = self._by_identity(mine), self._by_identity(theirs)
        if all(any(self._may_be_one(a, b) for a in some for b in more) for some in named for more in others):
            self.join(one, other)

    def _group(self, key: SpanKey) -> list[SpanKey]:
        return self._members.setdefault(key, [key])

    def _by_identity(self, keys: Sequence[SpanKey]) -> Iterable[Sequence[SpanKey]]:
        found: defaultdict[object, list[SpanKey]] = defaultdict(list)
        for key in keys:
            found[_identity(self._calls[key]) or key].append(key)
        return found.values()

    def _differ(self, one: SpanKey, other: SpanKey) -> bool:
        """Return whether two spans are known to tell of different calls, by their ids or as neighbours of one scope."""
        mine, theirs = self._calls[one], self._calls[other]
        if mine.call_id and theirs.call_id:
            return mine.call_id != theirs.call_id
        return mine.scope == theirs.scope and not self._lineage.are_related(one, other)

    def _may_be_one(self, one: SpanKey, other: SpanKey) -> bool:
        """Return whether two spans could be guessed to be one call, directly or through a third one."""
        mine, theirs = self._calls[one], self._calls[other]
        is_alike = _agree(mine, theirs) or _agree_but_for_cache(mine, theirs)
        return is_alike and (_overlap(mine, theirs) or self._lineage.are_related(one, other))


def _overlap(one: Call, other: Call) -> bool:
    starts, ends = (one.started_at_unix_ns, other.started_at_unix_ns), (one.ended_at_unix_ns, other.ended_at_unix_ns)
    return max(starts) <= min(ends) + OVERLAP_SLACK_NS
