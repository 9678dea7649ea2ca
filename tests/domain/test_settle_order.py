"""Whatever the order and repetition of the facts: the same records."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_exporter.domain.rollup import measures_of
from cost_exporter.domain.settling.settle import TraceFacts, better_call, better_link, settle
from cost_exporter.domain.span import Call, Link, Root
from tests.domain.builders import ACME, TRACE, call, facts, key, link, price_by_sum, settled, span_id
from tests.domain.facts import links, spans


def test_invalid_counts_enter_no_sum() -> None:
    """An impossible count is kept on the record and counted as unknown, but never summed."""
    record = replace(settled(call("a", quantities={"input_tokens": -5}))[key("a")], status="invalid", cost_usd=None)
    measures = measures_of(record)
    assert (measures.request_count, measures.unpriced_count, measures.input_tokens) == (1, 1, 0)


def test_the_better_of_two_contents_does_not_depend_on_order() -> None:
    """Rule 2: usage, then end, then quantity, then content hash; a call before what only looks like one."""
    ladder = [
        replace(call("a", quantities={"input_tokens": 9}, end_ms=900), is_look_alike=True),
        call("a", quantities={}),
        call("a", quantities={"input_tokens": 9}, end_ms=500),
        call("a", quantities={"input_tokens": 1}, end_ms=600),
        call("a", quantities={"input_tokens": 2}, end_ms=600),
        call("a", quantities={"input_tokens": 2}, end_ms=600, content_hash=7),
    ]
    for worse, better in pairwise(ladder):
        assert better_call(worse, better) is better_call(better, worse) is better


def test_the_better_of_two_links_does_not_depend_on_order() -> None:
    """A root beats a span that names a parent, a later end an earlier one, more words fewer."""
    early = Root(started_at_unix_ns=0, ended_at_unix_ns=1, has_failed=False)
    late = Root(started_at_unix_ns=0, ended_at_unix_ns=2, has_failed=False)
    plain = link("a", parent="p")
    attributed = link("a", parent="o", attribution=ACME)
    roots = [Link(trace_id=TRACE, span_id=span_id("a"), parent_span_id=None, root=root) for root in (early, late)]
    ladder = [plain, attributed, *roots]
    for worse, better in pairwise(ladder):
        assert better_link(worse, better) is better_link(better, worse) is better


def merged(pieces: list[Call | Link]) -> TraceFacts:
    """The facts as they add up when they arrive one by one."""
    known = facts()
    calls, all_links = dict(known.calls), dict(known.links)
    for piece in pieces:
        where = piece.trace_id, piece.span_id
        if isinstance(piece, Call):
            calls[where] = better_call(calls.get(where, piece), piece)
        else:
            all_links[where] = better_link(all_links.get(where, piece), piece)
    return replace(known, calls=calls, links=all_links)


@settings(max_examples=150)
@given(st.lists(st.one_of(spans, links), max_size=9), st.randoms(use_true_random=False))
def test_the_outcome_does_not_depend_on_order_or_repetition(pieces: list[Call | Link], random) -> None:
    """Any permutation with any repetition settles to the same records."""
    shuffled = pieces + pieces[: len(pieces) // 2]
    random.shuffle(shuffled)
    assert settle(merged(pieces), price_by_sum) == settle(merged(shuffled), price_by_sum)


@settings(max_examples=150)
@given(st.lists(spans, max_size=9))
def test_every_call_is_billed_or_names_why_not(pieces: list[Call]) -> None:
    """No call vanishes: each is billed, unknown, not billable, or a duplicate of one that is billed or unknown."""
    records = settle(merged(list(pieces)), price_by_sum)
    assert records.keys() == merged(list(pieces)).calls.keys()
    for (trace, _), record in records.items():
        if record.status != "duplicate":
            assert record.call.is_billable
        elif record.duplicate_of is None:
            assert not record.call.is_billable
        else:
            assert records[record.duplicate_trace_id or trace, record.duplicate_of].status != "duplicate"


@pytest.mark.parametrize(
    ("operation", "count"),
    [("chat", 1), ("embeddings", 1), ("text_to_speech", 0), ("speech_to_text", 0), ("phone_call", 0), ("retrieval", 0)],
)
def test_only_calls_of_a_language_model_are_counted_as_such(operation: str, count: int) -> None:
    """`llm_calls` is one of the measures that a report shows beside the cost."""
    record = settled(call("a", operation=operation))[key("a")]
    assert (measures_of(record).llm_calls, measures_of(record).request_count) == (count, 1)
