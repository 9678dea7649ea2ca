"""Long traces: load what new spans can change, and not the rest.

A trace that is added to again and again, the work of an agent, would cost more with every span if it were settled as a
whole. Its spans are rows of an index (`long_span`) instead, by what ties calls together
(`domain/settling/component.py`), and this loads

- the components of the calls that are new,
- the spans above these, and the root of the trace,
- what is below a new span from which it inherits something,
- the records that a new root attributes otherwise.

Where a span has come again with another content, all of the trace is loaded. So each loaded call has its whole
component beside it and is judged as it would be among all. What is asked of the trace as a whole, such as its totals
and its first start, is read where it is stored.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.rollup import Measures
from cost_exporter.domain.settling.component import LENGTHS_MAX_NS, OVERLAP_SLACK_NS
from cost_exporter.domain.settling.lineage import Lineage, root_of_call
from cost_exporter.domain.span import SpanKey
from cost_exporter.store.codec.arrays import DateArray, Int8Array, TextArray
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.loading import (
    Cursor,
    key_arrays,
    load_long_spans,
    load_records_of_spans,
    load_whole,
    root_of,
    span_arrays,
    take_index_rows,
)
from cost_exporter.store.ledger.long_index import has_gateway, keep_spans
from cost_exporter.store.ledger.trace_state import LongTrace, RootSpan, TraceState

__all__ = ["LONG_TRACE_SPANS", "complete", "load_for_merging"]

LONG_TRACE_SPANS: Final = 128
"""A trace with more spans than these is long once it is added to; below, reading all of it is cheaper."""
_LENGTHS_MAX_NS: Final = (*LENGTHS_MAX_NS, 1 << 62)
_INHERITED: Final = ("tenant", "category", "task", "tier", "user", "api_key")
"""What a record takes from the spans above it. All else that these say is the workflow's."""

_Seeds = set[tuple[int, bytes, int]]
"""Spans from which to go on, by the number of their trace, and which way: see `tied_spans`."""
_CALL, _ABOVE, _BELOW = range(3)


def load_for_merging(cursor: Cursor, wanted: Sequence[tuple[TraceState, Iterable[bytes]]]) -> None:
    """Load what is stored of the spans that have come again, and the roots of their traces."""
    if not wanted:
        return
    states = [state for state, _ in wanted]
    load_long_spans(cursor, [(state, span_id) for state, span_ids in wanted for span_id in span_ids])
    _load_roots(cursor, states)


def complete(connection: psycopg.Connection[Any], states: Iterable[TraceState]) -> None:
    """After the merge: index what is new of long traces and load what is settled with it."""
    changed = [state for state in states if (state.has_changed or state.has_new_keys) and not state.is_purged]
    if not any(state.long is not None or _becomes_long(state) for state in changed):
        return
    with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        _begin(cursor, [state for state in changed if state.long is None and _becomes_long(state)])
        long_states = [state for state in changed if state.long is not None]
        _complete(cursor, long_states)
        partial = [state for state in long_states if state.partial]
        _load_totals(cursor, partial)
        _load_times(cursor, [state for state in partial if _may_end_otherwise(state)])


def _becomes_long(state: TraceState) -> bool:
    span_count = len(state.calls) + len(state.links)
    is_added_to = state.is_stored and not state.is_joined and state.long is None
    return is_added_to and span_count > LONG_TRACE_SPANS


def _begin(cursor: Cursor, states: Sequence[TraceState]) -> None:
    """Number the traces that are long from now on; all of their spans are loaded and go into the index."""
    if not states:
        return
    by_key = {state.key: state for state in states}
    for row in cursor.execute(statement("begin_long_traces"), key_arrays([state.key for state in states])).fetchall():
        state = by_key[row["trace_id"], row["namespace"]]
        state.long = LongTrace(number=row["number"], is_partial=False, was_tenant_trusted=state.is_tenant_trusted)
        state.new_calls |= state.calls.keys()
        state.new_links |= state.links.keys()
        state.has_new_links = True


def _complete(cursor: Cursor, states: Sequence[TraceState]) -> None:
    partial = [state for state in states if state.partial]
    keep_spans(cursor, states)
    # A span with another content may have been above, below or like any other: it is seldom, and never in a hurry.
    load_whole(cursor, [state for state in partial if state.has_replaced or _is_seen_otherwise(state)])
    partial = [state for state in partial if state.partial]
    _load(cursor, partial, _tied(cursor, partial, {seed for state in partial for seed in _seeds(state)}))
    further: _Seeds = set()
    for state in [state for state in partial if state.partial]:
        further |= _below_what_is_inherited(state)
    roots_before = {state.key: state.long.root for state in partial if state.long is not None}
    _take_new_roots([state for state in partial if state.partial])
    for state in [state for state in partial if state.partial]:
        further |= _by_new_root(cursor, state, roots_before[state.key])
    _load(cursor, partial, _tied(cursor, partial, further))
    _find_framing(cursor, [state for state in partial if state.partial])


def _is_seen_otherwise(state: TraceState) -> bool:
    """Return whether every call may be judged or attributed otherwise now, whatever the new spans are tied to."""
    if state.long is None or state.is_tenant_trusted != state.long.was_tenant_trusted:
        return True
    # Ids that too many calls share tie none, until a gateway is among the calls.
    return bool(state.shared_keys) and not state.long.has_gateway and has_gateway(state.calls.values())


# ---------------------------------------------------------------------------------------------------- what to load


def _number(state: TraceState) -> int:
    assert state.long is not None
    return state.long.number


def _seeds(state: TraceState) -> _Seeds:
    """Return the spans of which this batch says something, and the root."""
    number = _number(state)
    seeds: _Seeds = {(number, span_id, _ABOVE) for _, span_id in state.links.keys() | state.calls.keys()}
    seeds |= {(number, key[1], _CALL) for key, call in state.calls.items() if not call.is_look_alike}
    return seeds


def _below_what_is_inherited(state: TraceState) -> _Seeds:
    """Return the new spans, calls aside, whose calls below take something from them, or from what is above them now."""
    lineage = Lineage(state.calls, state.links)
    return {
        (_number(state), key[1], _BELOW)
        for key in state.new_links | state.new_calls
        if any(_bequeaths(state, each) for each in (key, *lineage.ancestors(key)))
    }


def _bequeaths(state: TraceState, key: SpanKey) -> bool:
    spans = (state.calls.get(key), state.links.get(key))
    return any(_words_of_records(span.attribution) for span in spans if span is not None)


def _words_of_records(attribution: Attribution) -> dict[str, str]:
    """Return what of an attribution can change a record."""
    words = {name: getattr(attribution, name) for name in _INHERITED}
    return {name: word for name, word in words.items() if word is not None}


def _tied(cursor: Cursor, states: Sequence[TraceState], seeds: _Seeds) -> list[dict[str, Any]]:
    """Return the rows of the index of what is tied to these spans of these traces."""
    if not seeds:
        return []
    ordered = sorted(seeds)
    untied = [
        (_number(state), key)
        for state in states
        if state.long is not None and not state.long.has_gateway
        for key in state.shared_keys
    ]
    parameters = {
        "number": Int8Array.of([number for number, _, _ in ordered]),
        "span_id": Int8Array.of_ids([span_id for _, span_id, _ in ordered]),
        "way": Int8Array.of([way for _, _, way in ordered]),
        "untied_number": Int8Array.of([number for number, _ in untied]),
        "untied_identity": Int8Array.of([key for _, key in untied]),
        "length_max_ns": Int8Array.of(_LENGTHS_MAX_NS),
        "slack_ns": OVERLAP_SLACK_NS,
    }
    return cursor.execute(statement("tied_spans"), parameters).fetchall()


def _load(cursor: Cursor, states: Sequence[TraceState], rows: Iterable[dict[str, Any]]) -> None:
    load_records_of_spans(cursor, _distinct(take_index_rows(rows, states)))


def _distinct(spans: Iterable[tuple[TraceState, bytes]]) -> list[tuple[TraceState, bytes]]:
    """Return the spans without repetitions."""
    return list({(state.key, span_id): (state, span_id) for state, span_id in spans}.values())


# ---------------------------------------------------------------------------------------------------------- roots


def _load_roots(cursor: Cursor, states: Sequence[TraceState]) -> None:
    by_number = {_number(state): state for state in states}
    for state in states:
        assert state.long is not None
        state.long.root = None
    for row in cursor.execute(statement("long_roots"), {"number": Int8Array.of(list(by_number))}).fetchall():
        state = by_number[row["number"]]
        assert state.long is not None
        state.long.root = root_of(row, state.key[0])
        if row["is_link"]:
            take_index_rows([row], [state])
        elif state.long.root.key not in state.records:
            load_records_of_spans(cursor, [(state, row["span_id"])])


def _take_new_roots(states: Sequence[TraceState]) -> None:
    """Find the roots as they are now."""
    for state in states:
        assert state.long is not None
        offered = [each for each in (state.long.root, *_offered_roots(state)) if each is not None]
        state.long.root = min(offered, key=_root_rank, default=None)


def _offered_roots(state: TraceState) -> Iterable[RootSpan]:
    for key in state.new_links:
        link = state.links[key]
        if link.root is not None:
            yield RootSpan(key=key, is_link=True, words=link.attribution, root=link.root)
    for key in state.new_calls:
        call = state.calls[key]
        if call.parent_span_id is None:
            yield RootSpan(key=key, is_link=False, words=call.attribution, root=root_of_call(call))


def _root_rank(root: RootSpan) -> tuple[int, bytes, bool]:
    return root.root.started_at_unix_ns, root.key[1], not root.is_link


def _by_new_root(cursor: Cursor, state: TraceState, before: RootSpan | None) -> _Seeds:
    """Return the calls that the root of a trace attributes otherwise than the one before did."""
    assert state.long is not None
    now = state.long.root
    if now is None and before is None:
        return set()
    seeds: _Seeds = set()
    if now is not None:
        seeds.add((state.long.number, now.key[1], _ABOVE if now.is_link or _is_look_alike(state, now.key) else _CALL))
    if _words_of_root(now) == _words_of_root(before):
        return seeds
    if before is not None:
        load_whole(cursor, [state])
        return set()
    words = _words_of_root(now)
    if not state.is_tenant_trusted:
        words.pop("tenant", None)
    if words:
        parameters = {name: TextArray.of([words.get(name)]) for name in _INHERITED} | {
            "number": Int8Array.of([state.long.number]),
            "bucket": DateArray.of_unix_days([state.bucket_day]),
        }
        for row in cursor.execute(statement("spans_of_other_words"), parameters).fetchall():
            seeds |= {(row["number"], row["span_id"], _CALL), (row["number"], row["span_id"], _ABOVE)}
    return seeds


def _is_look_alike(state: TraceState, key: SpanKey) -> bool:
    call = state.calls.get(key)
    return call is not None and call.is_look_alike


def _words_of_root(root: RootSpan | None) -> dict[str, str]:
    if root is None:
        return {}
    return _words_of_records(root.words.with_fallback(root.root.resource_attribution))


# -------------------------------------------------------------------------------------------- the trace as a whole


def _find_framing(cursor: Cursor, states: Sequence[TraceState]) -> None:
    """Find which loaded spans that only look like calls have calls below them that are not loaded."""
    asked: dict[tuple[int, bytes], tuple[TraceState, list[SpanKey]]] = {}
    for state in states:
        lineage = Lineage(state.calls, state.links)
        for key in state.new_links | {key for key in state.new_calls if _is_look_alike(state, key)}:
            chain = [key, *lineage.ancestors(key)]
            framing = [each for each in chain if _is_look_alike(state, each)]
            if framing and lineage.parent(chain[-1]) in chain:
                load_whole(cursor, [state])  # a forged cycle, in which what is above is below as well
                break
            if framing:
                asked[_number(state), key[1]] = state, framing
    spans = [(state, span_id) for (_, span_id), (state, _) in asked.items() if state.partial]
    if not spans:
        return
    for row in cursor.execute(statement("have_call_below"), span_arrays(spans)).fetchall():
        state, framing = asked[row["number"], row["span_id"]]
        if state.partial:
            state.partial.framing.update(framing)


def _load_totals(cursor: Cursor, states: Sequence[TraceState]) -> None:
    if not states:
        return
    by_number = {_number(state): state for state in states}
    for row in cursor.execute(statement("long_totals"), {"number": Int8Array.of(list(by_number))}):
        long = by_number[row["number"]].long
        assert long is not None
        long.totals[row["tenant_id"]] = Measures(
            cost_usd=row["cost_usd"],
            request_count=row["request_count"],
            unpriced_count=row["unpriced_count"],
            duplicate_count=row["duplicate_count"],
        )


def _may_end_otherwise(state: TraceState) -> bool:
    """Return whether the first start or the last end that is stored may be that of a span that no longer counts."""
    return any(record.call.is_look_alike for record in state.records.values())


def _load_times(cursor: Cursor, states: Sequence[TraceState]) -> None:
    """Read from when to when the spans are that are not loaded."""
    if not states:
        return
    by_number = {_number(state): state for state in states}
    for state in states:
        assert state.long is not None
        state.long.started_at_unix_ns = state.long.ended_at_unix_ns = None
    loaded = [(state, key[1]) for state in states for key in state.calls]
    parameters = {"numbers": Int8Array.of(list(by_number)), **span_arrays(loaded)}
    for row in cursor.execute(statement("long_times"), parameters):
        long = by_number[row["number"]].long
        assert long is not None
        long.started_at_unix_ns, long.ended_at_unix_ns = row["started_ns"], row["ended_ns"]
