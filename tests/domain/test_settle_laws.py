"""Whatever the order, batching and repetition of the facts: the same records and the same rollups."""

from dataclasses import replace
from decimal import Decimal as D
from hashlib import blake2b
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.rollup import NOTHING, daily_key, difference, measures_of, rollup, workflow_key
from cost_exporter.domain.settle import TraceFacts, better_call, better_link, settle
from cost_exporter.domain.span import Call, Detail, Link, Root
from tests.domain.builders import ACME, OTHER_TRACE, TRACE, call, facts, key, link, price_by_sum, settled, span_id


def test_invalid_counts_enter_no_sum() -> None:
    """An impossible count is kept on the record and counted as unknown, but never summed."""
    record = replace(settled(call("a", quantities={"input_tokens": -5}))[key("a")], status="invalid", cost_usd=None)
    measures = measures_of(record)
    assert (measures.request_count, measures.unpriced_count, measures.input_tokens) == (1, 1, 0)


def test_records_of_one_key_are_summed() -> None:
    """Two calls of one kind on one day make one daily rollup with both."""
    records = settled(call("a", call_id="response:1"), call("b", call_id="response:2"))
    (measures,) = rollup(records.values(), daily_key).values()
    assert (measures.request_count, measures.cost_usd) == (2, 2 * D("0.000001") * (1200 + 345))


def test_the_better_of_two_contents_does_not_depend_on_order() -> None:
    """Rule 2: usage, then end, then quantity, then content hash."""
    ladder = [
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
    said = link("a", parent="o", attribution=ACME)
    roots = [Link(trace_id=TRACE, span_id=span_id("a"), parent_span_id=None, root=root) for root in (early, late)]
    ladder = [plain, said, *roots]
    for worse, better in pairwise(ladder):
        assert better_link(worse, better) is better_link(better, worse) is better


def with_true_hash(raw: Call) -> Call:
    """A call whose content hash is one: equal for equal contents only."""
    return replace(raw, content_hash=int.from_bytes(blake2b(repr(raw).encode(), digest_size=7).digest()))


NAMES = ["a", "b", "c", "d", "e"]
spans = st.builds(
    call,
    st.sampled_from(NAMES),
    parent=st.sampled_from([None, "root", *NAMES]),
    trace=st.sampled_from([TRACE, OTHER_TRACE]),
    start_ms=st.sampled_from([0, 2, 1500]),
    end_ms=st.sampled_from([2000, 2001]),
    scope=st.sampled_from(["scope.a", "scope.b"]),
    detail=st.sampled_from([Detail.FRAMEWORK, Detail.PLAIN, Detail.NATIVE]),
    provider=st.sampled_from(["aws", "aws", "anthropic", ""]),
    model=st.sampled_from(["us.anthropic.claude-opus-5-v1:0", "claude-opus-5", "claude-opus-5", ""]),
    quantities=st.sampled_from(
        [
            {},
            {"input_tokens": 5, "output_tokens": 1},
            {"input_tokens": 5, "output_tokens": 2},
            {"input_tokens": 9, "output_tokens": 1, "cache_read_tokens": 3, "cache_write_tokens": 1},
            {"input_tokens": 8, "output_tokens": 1, "cache_read_tokens": 3},
        ]
    ),
    call_id=st.sampled_from(["", "", "response:1", "phone:1"]),
    is_billable=st.sampled_from([True, True, False]),
    session_id=st.sampled_from(["", "", "s"]),
    session_sequence=st.sampled_from([None, 0, 1]),
    session_vendor_total_seconds=st.sampled_from([None, D(7)]),
    attribution=st.sampled_from([Attribution(), ACME, Attribution(category="bot")]),
).map(with_true_hash)
links = st.builds(
    link,
    st.sampled_from(["root", *NAMES]),
    parent=st.sampled_from([None, *NAMES]),
    attribution=st.sampled_from([Attribution(), Attribution(tenant="root", category="insights")]),
)


def merged(pieces: list[Call | Link]) -> TraceFacts:
    """The facts as they add up when they arrive one by one."""
    known = facts()
    for piece in pieces:
        known = known.merged_with(facts(piece))
    return known


@settings(max_examples=150)
@given(st.lists(st.one_of(spans, links), max_size=9), st.randoms(use_true_random=False))
def test_the_outcome_does_not_depend_on_order_or_repetition(pieces: list[Call | Link], random) -> None:
    """Any permutation with any repetition settles to the same records and the same rollups."""
    shuffled = pieces + pieces[: len(pieces) // 2]
    random.shuffle(shuffled)
    once, again = settle(merged(pieces), price_by_sum), settle(merged(shuffled), price_by_sum)
    assert once == again
    assert rollup(once.values(), workflow_key) == rollup(again.values(), workflow_key)


@settings(max_examples=150)
@given(st.lists(st.one_of(spans, links), max_size=9), st.integers(0, 9))
def test_rollups_move_by_differences(pieces: list[Call | Link], cut: int) -> None:
    """What a rollup was, moved by the difference, is what it is; and both ways of summing agree."""
    before = rollup(settle(merged(pieces[:cut]), price_by_sum).values(), daily_key)
    records = settle(merged(pieces), price_by_sum).values()
    after = rollup(records, daily_key)
    moved = dict(before)
    for group, move in difference(before, after).items():
        moved[group] = moved.get(group, NOTHING).plus(move)
    assert {group: each for group, each in moved.items() if each != NOTHING} == after
    assert sum(each.cost_usd for each in after.values()) == sum(record.known_cost_usd for record in records)


@settings(max_examples=150)
@given(
    st.lists(st.one_of(spans, links), max_size=6),
    st.lists(st.one_of(spans, links), max_size=6),
    st.lists(spans, max_size=4),
)
def test_merging_facts_is_commutative_associative_and_idempotent(a, b, c) -> None:
    """The laws that make replays, retries and reordering harmless."""
    x, y, z = merged(a), merged(b), merged(c)
    assert x.merged_with(y) == y.merged_with(x)
    assert x.merged_with(y).merged_with(z) == x.merged_with(y.merged_with(z))
    assert x.merged_with(x) == x


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
