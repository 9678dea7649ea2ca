"""Write the index of long traces: one row per link, and one per call with what ties it to others."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.settling.component import Ties, ties_of
from cost_exporter.domain.settling.lineage import Lineage, root_of_call
from cost_exporter.domain.settling.settle import greatest_attribution
from cost_exporter.domain.span import Call, Link, Root
from cost_exporter.store.codec.arrays import BoolArray, Int8Array, TextArray
from cost_exporter.store.codec.fact_json import attribution_words, compact_json
from cost_exporter.store.codec.link_bytes import NO_LINKS, PackedLinks, pack_links, root_json
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.trace_state import TraceState

__all__ = ["has_gateway", "keep_headers", "keep_spans", "packed_root"]

Cursor = psycopg.Cursor[Any]


def keep_spans(cursor: Cursor, states: Iterable[TraceState]) -> None:
    """Index the spans of these traces that are new or have another content now."""
    rows = [
        (state, span, _ties(state, span))
        for state in states
        for span in (
            *(state.calls[key] for key in state.new_calls),
            *(state.links[key] for key in state.new_links),
        )
    ]
    if not rows:
        return
    spans = [span for _, span, _ in rows]
    ties = [each for _, _, each in rows]
    times = [_times(span) for span in spans]
    cursor.execute(
        statement("keep_long_spans"),
        {
            "number": Int8Array.of([None if state.long is None else state.long.number for state, _, _ in rows]),
            "span_id": Int8Array.of_ids([span.span_id for span in spans]),
            "is_link": BoolArray.of([isinstance(span, Link) for span in spans]),
            "is_look_alike": BoolArray.of([isinstance(span, Call) and span.is_look_alike for span in spans]),
            "parent_span_id": Int8Array.of_ids([span.parent_span_id for span in spans]),
            "started_ns": Int8Array.of([None if each is None else each[0] for each in times]),
            "ended_ns": Int8Array.of([None if each is None else each[1] for each in times]),
            "length_class": Int8Array.of([None if each is None else each.length_class for each in ties]),
            "identity": Int8Array.of([None if each is None else each.identity for each in ties]),
            "session": Int8Array.of([None if each is None else each.session for each in ties]),
            "usage": Int8Array.of([None if each is None else each.usage for each in ties]),
            "uncached": Int8Array.of([None if each is None else each.uncached for each in ties]),
            "words": TextArray.of([_words_json(span.attribution) for span in spans]),
            "root": TextArray.of([_root_json(span) for span in spans]),
        },
    )


def keep_headers(cursor: Cursor, states: Iterable[TraceState], framing: Sequence[tuple[int, bytes]]) -> None:
    """Write what a transaction changes of long traces beside their spans. `framing` are spans that have no record."""
    long_states = [state for state in states if state.long is not None and state.has_changed]
    if long_states:
        words = [attribution_words(greatest_attribution(state.key[0], state.facts)) for state in long_states]
        parameters = {
            "number": _numbers(long_states),
            "words": TextArray.of_distinct([compact_json(each) for each in words]),
            "has_gateway": BoolArray.of([has_gateway(state.calls.values()) for state in long_states]),
        }
        cursor.execute(statement("keep_long_words"), parameters)
    if framing:
        parameters = {
            "number": Int8Array.of([number for number, _ in framing]),
            "span_id": Int8Array.of_ids([span_id for _, span_id in framing]),
        }
        cursor.execute(statement("forget_long_calls"), parameters)


def has_gateway(calls: Iterable[Call]) -> bool:
    """Return whether a gateway is among them: then which ids are made up is asked of all calls that have them."""
    return any(call.is_gateway or call.has_gateway_id for call in calls)


def packed_root(state: TraceState) -> PackedLinks:
    """Return what is kept in the row of a long trace of its links: the root alone, where it is one."""
    root = Lineage(state.calls, state.links).root_key(state.key[0])
    link = None if root is None else state.links.get(root)
    return NO_LINKS if link is None else PackedLinks(links=None, attributions=None, roots=pack_links([link]).roots)


def _numbers(states: Iterable[TraceState]) -> Int8Array:
    return Int8Array.of([state.long.number for state in states if state.long is not None])


def _ties(state: TraceState, span: Call | Link) -> Ties | None:
    if isinstance(span, Link) or span.is_look_alike:
        return None
    return ties_of(state.key[1], span)


def _times(span: Call | Link) -> tuple[int, int] | None:
    times = span if isinstance(span, Call) else span.root
    return None if times is None else (times.started_at_unix_ns, times.ended_at_unix_ns)


def _root(span: Call | Link) -> Root | None:
    if isinstance(span, Link):
        return span.root
    return root_of_call(span) if span.parent_span_id is None else None


def _root_json(span: Call | Link) -> str | None:
    root = _root(span)
    return None if root is None else json.dumps(root_json(root), ensure_ascii=False)


def _words_json(attribution: Attribution) -> str | None:
    words = attribution_words(attribution)
    return json.dumps(words, ensure_ascii=False) if words else None
