"""Whatever the order, batching and repetition of requests: the same facts, and rollups that move by the difference."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from copy import copy
from decimal import Decimal as D
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cost_exporter.domain.rollup import NOTHING, measures_of
from cost_exporter.domain.span import Call, Link
from cost_exporter.store.ledger.trace_state import TraceKey, TraceState, merge
from cost_exporter.store.ledger.write_set import WriteSet, settle_component
from tests.domain.builders import OTHER_TRACE, TRACE, call, key, price_by_sum
from tests.domain.facts import links, spans
from tests.store.requests import request

Pieces = list[Call | Link]
States = dict[TraceKey, TraceState]
pieces_of_a_trace = st.lists(st.one_of(spans, links), max_size=9)


def new_states() -> States:
    keys = [(trace, "default") for trace in (TRACE, OTHER_TRACE)]
    return {key: TraceState(key=key, bucket_day=0) for key in keys}


def merged(batches: Iterable[Pieces]) -> States:
    """The traces after these requests, one after the other."""
    states = new_states()
    for pieces in batches:
        merge(states, request(*pieces))
    return states


def facts_of(states: States) -> list[Any]:
    return [(state.calls, state.links) for state in states.values()]


def planned(states: States) -> WriteSet:
    write_set = WriteSet()
    settle_component(list(states.values()), price_by_sum, write_set)
    return write_set


def as_stored(states: States, write_set: WriteSet) -> States:
    """The traces as they are loaded again after their plan was written."""
    stored = {each.key: copy(each) for each in states.values()}
    for state in stored.values():
        state.has_changed = state.has_new_links = False
        state.superseded_calls = {}
        records = {
            (change.record.call.trace_id, change.record.call.span_id): change.record for change in write_set.changes
        }
        state.records = {key: records.get(key) or state.records[key] for key in state.calls}
    return stored


def sums_of(plans: Sequence[WriteSet]) -> list[dict[Any, Any]]:
    """The rollups after these plans, by workflow and by day: what is left at 0 is left out."""
    kinds: list[defaultdict[Any, Any]] = [defaultdict(lambda: NOTHING), defaultdict(lambda: NOTHING)]
    for write_set in plans:
        for sums, moves in zip(kinds, write_set.moves(), strict=True):
            for group, move in moves.items():
                sums[group] = sums[group].plus(move)
    return [{group: each for group, each in sums.items() if each != NOTHING} for sums in kinds]


@settings(max_examples=150)
@given(pieces_of_a_trace, pieces_of_a_trace, st.lists(spans, max_size=4))
def test_merging_requests_is_commutative_and_idempotent_and_batches_do_not_matter(a, b, c) -> None:
    """The laws that make replays, retries and reordering harmless."""
    once = facts_of(merged([a, b, c]))
    assert once == facts_of(merged([c, b, a])) == facts_of(merged([b, a, c]))
    assert once == facts_of(merged([a + b + c])) == facts_of(merged([[piece] for piece in c + a + b]))
    assert once == facts_of(merged([a, b, a, c, c, b]))


@settings(max_examples=150)
@given(pieces_of_a_trace, st.integers(0, 9))
def test_rollups_move_by_exactly_the_difference(pieces: Pieces, cut: int) -> None:
    """Two transactions leave the rollups that one leaves; the first set of sums, moved, is the second."""
    first = merged([pieces[:cut]])
    first_plan = planned(first)
    second = as_stored(first, first_plan)
    merge(second, request(*pieces[cut:]))
    at_once = merged([pieces])
    plan_at_once = planned(at_once)
    assert sums_of([first_plan, planned(second)]) == sums_of([plan_at_once])
    workflows, days = sums_of([plan_at_once])
    cost_usd = sum((change.record.known_cost_usd for change in plan_at_once.changes), D(0))
    for sums in (workflows, days):
        assert sum((each.cost_usd for each in sums.values()), D(0)) == cost_usd


def test_a_transaction_that_changes_nothing_moves_nothing() -> None:
    """The same request again leaves no record to write and no sum to move."""
    pieces: Pieces = [call("a"), call("b")]
    first = merged([pieces])
    second = as_stored(first, planned(first))
    merge(second, request(*pieces))
    write_set = planned(second)
    assert (write_set.changes, write_set.moves()) == ([], ({}, {}))


def test_records_of_one_key_are_summed() -> None:
    """Two calls of one kind on one day make one daily rollup with both."""
    write_set = planned(merged([[call("a", call_id="response:1"), call("b", call_id="response:2")]]))
    _, days = write_set.moves()
    (measures,) = days.values()
    assert (measures.request_count, measures.cost_usd) == (2, 2 * D("0.000001") * (1200 + 345))


def test_a_duplicate_takes_back_what_it_had_added() -> None:
    """A call billed in one transaction and found to be a duplicate in the next leaves the rollup with one request."""
    first = merged([[call("a", call_id="response:1")]])
    first_plan = planned(first)
    second = as_stored(first, first_plan)
    merge(second, request(call("b", call_id="response:1", quantities={"input_tokens": 1200, "output_tokens": 345})))
    second_plan = planned(second)
    _, days = sums_of([first_plan, second_plan])
    (measures,) = days.values()
    assert (measures.request_count, measures.duplicate_count) == (1, 1)
    assert {change.record.status for change in second_plan.changes} >= {"duplicate"}
    assert measures_of(first_plan.changes[0].record).cost_usd == measures.cost_usd
    assert key("a") in second[TRACE, "default"].records
