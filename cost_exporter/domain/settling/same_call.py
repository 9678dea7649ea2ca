"""Group the spans that report one provider call, so that each call is billed once (rule 6).

Certain first, then likely:

- Equal identity: the same response id, phone call id, or (session id, sequence). This is certain.
- Spans of different scopes in two traces, alike and at the same time, one of them a root (`look_alike.py`).

The rest are numbered as in `_Evidence`:

0. Lineage: one span above the other, the same model, the same usage.
1. Overlap: spans of different scopes side by side, at the same time, the same model, the same usage.
2. Lineage (3: overlap) where one does not report a part that the other does: the cached input, reasoning, the output.
4. Lineage (5: overlap) where one states the input without what was cached, and the other says that the rest was.
6. Lineage where one of the two lost the usage or the model: it could be any call below, or above.
7. Lineage where the lower one is a gateway's: whatever the client above calls the model, the usage is the same.

All but the first are guesses, so they pair spans one to one: a group never holds two calls that are known to differ, by
different call ids, by model or usage, or as two spans of one scope side by side. Two genuinely parallel identical
calls stay two, and a span without usage never merges two calls. The more certain guess is tried first, and the
order depends on the spans alone, never on their arrival.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum

from cost_exporter.domain.settling.agreement import (
    CACHED,
    agree,
    agree_but_for_cache,
    agree_but_for_model,
    agree_where_both_report,
    lacks_output,
    models_agree,
    one_omits_cached_tokens,
    report_the_same,
    uncached_bucket,
    usage_bucket,
)
from cost_exporter.domain.settling.identity import Identities
from cost_exporter.domain.settling.lineage import Lineage
from cost_exporter.domain.settling.look_alike import (
    OVERLAP_SLACK_NS,
    alike_across_traces,
    are_compatible,
    look_alike,
)
from cost_exporter.domain.span import Call, SpanKey

__all__ = ["same_call_evidence", "same_call_groups"]

OVERLAPPING_MAX = 64
"""A span is compared with at most this many similar open spans, the ones that started last: two spans of one call
start close together. It bounds the cost of many identical calls without ids."""


class _Evidence(IntEnum):
    """Why two spans probably report one call, the more certain first."""

    NESTED = 0
    OVERLAPPING = 1
    NESTED_PART_NOT_REPORTED = 2
    OVERLAPPING_PART_NOT_REPORTED = 3
    NESTED_CACHE_NOT_REPORTED = 4
    OVERLAPPING_CACHE_NOT_REPORTED = 5
    USAGE_LOST = 6
    BEHIND_GATEWAY = 7


_Guess = tuple[_Evidence, SpanKey, SpanKey]


def same_call_groups(
    calls: Mapping[SpanKey, Call],
    lineage: Lineage,
    identities: Identities,
    namespace: str,
    shared_keys: frozenset[int] = frozenset(),
) -> list[list[SpanKey]]:
    """Return the groups of two or more spans that report one call."""
    groups = _Groups(calls, lineage, identities)
    for keys in _by_identity(calls, identities).values():
        for key in keys[1:]:
            groups.join(keys[0], key)
    for _, one, other in sorted(_guesses(calls, lineage, identities), key=lambda guess: _likelihood(calls, guess)):
        groups.join_if_compatible(one, other)
    for pairs in alike_across_traces(calls, namespace, shared_keys, _may_be_one_elsewhere):
        _match_across_traces(groups, pairs)
    return groups.of_several()


def same_call_evidence(
    calls: Mapping[SpanKey, Call], lineage: Lineage, identities: Identities, one: SpanKey, other: SpanKey
) -> str:
    """Return in one word why two spans of a group count as one call."""
    mine, theirs = calls[one], calls[other]
    if (identity := identities.of(mine)) is not None and identity == identities.of(theirs):
        if isinstance(identity, tuple):
            return "session"
        return "phone_call_id" if mine.call_id.startswith("phone:") else "response_id"
    place = "look_alike" if one[0] != other[0] else "nested" if lineage.are_related(one, other) else "overlap"
    return _guessed_evidence(mine, theirs, place)


def _guessed_evidence(mine: Call, theirs: Call, place: str) -> str:
    if not models_agree(mine, theirs) and (mine.is_gateway or theirs.is_gateway):
        return "gateway"
    if not mine.measured_quantities or not theirs.measured_quantities:
        return "usage_lost"
    if one_omits_cached_tokens(mine, theirs):
        return "cache_unsaid"
    return place


def _by_identity(calls: Mapping[SpanKey, Call], identities: Identities) -> dict[object, list[SpanKey]]:
    found: defaultdict[object, list[SpanKey]] = defaultdict(list)
    for key, call in calls.items():
        if (identity := identities.of(call)) is not None:
            found[identity].append(key)
    return {identity: sorted(keys) for identity, keys in found.items() if len(keys) > 1}


def _guesses(calls: Mapping[SpanKey, Call], lineage: Lineage, identities: Identities) -> Iterator[_Guess]:
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
        yield from _overlapping(calls, keys, identities, _overlap_evidence)
    for keys in _by_uncached_input(calls):
        yield from _overlapping(calls, keys, identities, _omitted_cache_evidence)


def _overlap_evidence(one: Call, other: Call) -> _Evidence | None:
    if not agree_where_both_report(one, other):
        return None
    return _Evidence.OVERLAPPING if report_the_same(one, other) else _Evidence.OVERLAPPING_PART_NOT_REPORTED


def _omitted_cache_evidence(one: Call, other: Call) -> _Evidence | None:
    return _Evidence.OVERLAPPING_CACHE_NOT_REPORTED if one_omits_cached_tokens(one, other) else None


def _by_usage(calls: Mapping[SpanKey, Call]) -> Iterable[list[SpanKey]]:
    """Return the spans of one trace, model and usage (output tokens aside) that come from several scopes."""
    buckets: defaultdict[object, list[SpanKey]] = defaultdict(list)
    for key, call in calls.items():
        if call.session_sequence is None:
            buckets[key[0], usage_bucket(call)].append(key)
    return [keys for keys in buckets.values() if len({calls[key].scope for key in keys}) > 1]


def _by_uncached_input(calls: Mapping[SpanKey, Call]) -> Iterable[list[SpanKey]]:
    """Return the spans of one trace and model whose input is alike without what was cached, where one says it was."""
    buckets: defaultdict[object, list[SpanKey]] = defaultdict(list)
    for key, call in calls.items():
        bucket = uncached_bucket(call)
        if bucket is not None and call.session_sequence is None:
            buckets[key[0], bucket].append(key)
    is_uncached = CACHED.isdisjoint
    return [keys for keys in buckets.values() if len({is_uncached(calls[key].measured_quantities) for key in keys}) > 1]


def _overlapping(
    calls: Mapping[SpanKey, Call],
    keys: list[SpanKey],
    identities: Identities,
    evidence_of: Callable[[Call, Call], _Evidence | None],
) -> Iterator[_Guess]:
    """Yield the pairs from different scopes that overlap in time, by a sweep along the start times."""
    named: list[SpanKey] = []
    nameless: list[SpanKey] = []
    for key in sorted(keys, key=lambda each: (calls[each].started_at_unix_ns, each)):
        call = calls[key]
        nameless = _still_open(calls, nameless, call)
        has_name = identities.is_unique(call.call_id)
        if has_name:  # spans with ids are compared by id only
            candidates = nameless
        else:
            named = _still_open(calls, named, call)
            candidates = named + nameless
        for each in candidates:
            other = calls[each]
            if other.scope != call.scope and models_agree(other, call):
                evidence = evidence_of(other, call)
                if evidence is not None:
                    yield evidence, min(key, each), max(key, each)
        (named if has_name else nameless).append(key)


def _still_open(calls: Mapping[SpanKey, Call], keys: list[SpanKey], call: Call) -> list[SpanKey]:
    """Return those that had not ended when `call` started, the latest ones."""
    still = [each for each in keys if calls[each].ended_at_unix_ns + OVERLAP_SLACK_NS >= call.started_at_unix_ns]
    return still[-OVERLAPPING_MAX:]


def _look_alike(one: Call, other: Call) -> _Evidence | None:
    """Return why an ancestor and its descendant seem to report the same call, or None."""
    if one.session_sequence is not None or other.session_sequence is not None:
        return None
    if agree(one, other):
        if not one.measured_quantities or not other.measured_quantities:
            # One of the two emitters lost the usage of this call (a stream, mostly).
            return None if one.scope == other.scope else _Evidence.USAGE_LOST
        if report_the_same(one, other):
            return _Evidence.NESTED
        is_output_lost = one.scope == other.scope and lacks_output(one) != lacks_output(other)
        return None if is_output_lost else _Evidence.NESTED_PART_NOT_REPORTED
    if agree_but_for_cache(one, other):
        return _Evidence.NESTED_CACHE_NOT_REPORTED
    return _Evidence.BEHIND_GATEWAY if other.is_gateway and agree_but_for_model(one, other) else None


def _likelihood(calls: Mapping[SpanKey, Call], guess: _Guess) -> tuple[_Evidence, int, SpanKey, SpanKey]:
    """Return the sort key of a guess: more certain first, then closer in time; ties are broken by the span keys."""
    evidence, *pair = guess
    one, other = calls[pair[0]], calls[pair[1]]
    distance_ns = abs(one.started_at_unix_ns - other.started_at_unix_ns) + abs(
        one.ended_at_unix_ns - other.ended_at_unix_ns
    )
    return evidence, distance_ns, min(pair), max(pair)


def _may_be_one_elsewhere(one: Call, other: Call) -> bool:
    return agree_where_both_report(one, other) and models_agree(one, other)


class _Groups:
    """Disjoint groups of span keys that grow by joining."""

    def __init__(self, calls: Mapping[SpanKey, Call], lineage: Lineage, identities: Identities) -> None:
        self.calls = calls
        self._lineage = lineage
        self._identities = identities
        self._members: dict[SpanKey, list[SpanKey]] = {}

    def of_several(self) -> list[list[SpanKey]]:
        unique = {id(members): members for members in self._members.values()}
        return sorted(sorted(members) for members in unique.values() if len(members) > 1)

    def join(self, one: SpanKey, other: SpanKey) -> None:
        """Make one group of two different ones."""
        mine, theirs = self.of(one), self.of(other)
        assert mine is not theirs
        mine.extend(theirs)
        for key in theirs:
            self._members[key] = mine

    def join_if_compatible(self, one: SpanKey, other: SpanKey) -> None:
        """Make one group of two, unless that would put two different calls into it."""
        mine, theirs = self.of(one), self.of(other)
        if mine is theirs or any(self.differ(a, b) for a in mine for b in theirs):
            return
        # Among spans with the same id, one match is sufficient.
        named, others = self._by_identity(mine), self._by_identity(theirs)
        if all(any(self._may_be_one(a, b) for a in some for b in more) for some in named for more in others):
            self.join(one, other)

    def of(self, key: SpanKey) -> list[SpanKey]:
        """Return the group of a span, itself at least."""
        return self._members.setdefault(key, [key])

    def _by_identity(self, keys: Sequence[SpanKey]) -> Iterable[Sequence[SpanKey]]:
        found: defaultdict[object, list[SpanKey]] = defaultdict(list)
        for key in keys:
            found[self._identities.of(self.calls[key]) or key].append(key)
        return found.values()

    def differ(self, one: SpanKey, other: SpanKey) -> bool:
        """Return whether two spans report different calls for certain, by their ids or as neighbours of one scope."""
        mine, theirs = self.calls[one], self.calls[other]
        if mine.call_id and theirs.call_id and self._identities.are_comparable(mine.call_id, theirs.call_id):
            return mine.call_id != theirs.call_id
        return mine.scope == theirs.scope and not self._lineage.are_related(one, other)

    def _may_be_one(self, one: SpanKey, other: SpanKey) -> bool:
        """Return whether two spans could be guessed to be one call, directly or through a third one."""
        mine, theirs = self.calls[one], self.calls[other]
        if agree(mine, theirs) or agree_but_for_cache(mine, theirs):
            return _overlap(mine, theirs) or self._lineage.are_related(one, other)
        return agree_but_for_model(mine, theirs) and (
            (mine.is_gateway and other in self._lineage.calls_above(one))
            or (theirs.is_gateway and one in self._lineage.calls_above(other))
        )


def _overlap(one: Call, other: Call) -> bool:
    starts, ends = (one.started_at_unix_ns, other.started_at_unix_ns), (one.ended_at_unix_ns, other.ended_at_unix_ns)
    return max(starts) <= min(ends) + OVERLAP_SLACK_NS


_Unit = list[SpanKey]
"""Spans of one call, as far as is known before calls are matched across traces."""


def _match_across_traces(groups: _Groups, pairs: Sequence[tuple[SpanKey, SpanKey]]) -> None:
    """Match the calls of each connected run, scope against scope, in the order of their start."""
    units = [(groups.of(one), groups.of(other)) for one, other in pairs]
    for run in _runs([(one, other) for one, other in units if one is not other]):
        for keys in _matched(groups, run):
            for key in keys[1:]:
                groups.join(keys[0], key)


def _runs(pairs: Sequence[tuple[_Unit, _Unit]]) -> Iterator[list[tuple[_Unit, _Unit]]]:
    """Yield the pairs by the connected run that they are in."""
    run_of: dict[int, list[tuple[_Unit, _Unit]]] = {}
    for pair in pairs:
        mine, theirs = (run_of.get(id(unit), []) for unit in pair)
        run = mine if mine is theirs else [*mine, *theirs]
        run.append(pair)
        for unit in {id(each): each for other in run for each in other}.values():
            run_of[id(unit)] = run
    yield from {id(run): run for run in run_of.values()}.values()


def _matched(groups: _Groups, run: Sequence[tuple[_Unit, _Unit]]) -> Iterator[list[SpanKey]]:
    """Yield, for each call of a run, one span of each unit that reports it."""
    calls = groups.calls
    partners: defaultdict[int, set[int]] = defaultdict(set)
    for one, other in run:
        partners[id(one)].add(id(other))
        partners[id(other)].add(id(one))
    units = {id(unit): unit for pair in run for unit in pair}
    start = {each: min((calls[key].started_at_unix_ns, key) for key in unit) for each, unit in units.items()}
    by_scope: defaultdict[str, list[int]] = defaultdict(list)
    for each in sorted(units, key=lambda each: start[each]):
        for scope in {calls[key].scope for key in units[each]}:
            by_scope[scope].append(each)
    matches: list[list[int]] = []
    placed: set[int] = set()
    for scope in sorted(by_scope, key=lambda scope: (-len(by_scope[scope]), scope)):
        for each in by_scope[scope]:
            if each not in placed:
                placed.add(each)
                free = [match for match in matches if all(_fit(groups, units[each], units[it]) for it in match)]
                # Overlapping units first, then any of the run: so a run has as many calls as its largest scope.
                match = next(
                    (match for match in free if not partners[each].isdisjoint(match)), free[0] if free else None
                )
                if match is None:
                    matches.append([each])
                else:
                    match.append(each)
    yield from ([units[each][0] for each in match] for match in matches)


def _fit(groups: _Groups, one: _Unit, other: _Unit) -> bool:
    """Return whether two units may be one call, judged by everything they report except the time."""
    calls = groups.calls
    pairs = [(a, b) for a in one for b in other]
    return not any(groups.differ(a, b) for a, b in pairs) and any(
        are_compatible(look_alike(calls[a]), look_alike(calls[b])) and _may_be_one_elsewhere(calls[a], calls[b])
        for a, b in pairs
    )
