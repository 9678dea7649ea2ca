"""An id that one scope states for more calls than one can have identifies nothing, whatever the order of arrival."""

import itertools
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.span import Call
from cost_exporter.store.finalise import finalise
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import call, price_by_sum
from tests.store.requests import RECEIVED_AT_UNIX_NS, clear, problems, request, rows, snapshot

Database = psycopg.Connection[Any]
BOUND = 8


def one_after_the_other(count: int, **fields: Any) -> list[Call]:
    """So many calls of one id, each in a trace of its own and each of another size."""
    stated: dict[str, Any] = {"call_id": "response:same"} | fields
    return [
        call(
            "a",
            parent=None,
            trace=bytes([1 + number]) * 16,
            start_ms=2000 * number,
            end_ms=2000 * number + 1000,
            quantities={"input_tokens": 100 + number},
            **stated,
        )
        for number in range(count)
    ]


def billed_count(database: Database) -> int:
    return rows(database, "select count(*) from callfare.cost_record where status = 'priced'")[0][0]


def orders(calls: Sequence[Call], seed: int) -> list[list[Call]]:
    """The calls in several orders: as made, the other way round, the last one first, and shuffled."""
    shuffled = [random.Random(seed + number).sample(calls, len(calls)) for number in range(3)]
    return [list(calls), list(calls)[::-1], [*calls[-1:], *calls[:-1]], *shuffled]


@pytest.mark.parametrize(("count", "billed"), [(BOUND, 1), (BOUND + 1, BOUND + 1), (33, 33)])
def test_the_ninth_call_of_one_id_makes_nine_calls_in_every_order(
    ledger: LedgerStore, database: Database, count: int, billed: int
) -> None:
    """Eight calls of one id are one call; nine are nine, also those that were joined before, also after a replay."""
    calls = one_after_the_other(count)
    ledger.commit([request(*calls)], price_by_sum)
    at_once = snapshot(database)
    assert billed_count(database) == billed
    for order in orders(calls, count):
        clear(database)
        for each in order:
            ledger.commit([request(each)], price_by_sum)
        assert snapshot(database) == at_once
        for each in order:
            ledger.commit([request(each)], price_by_sum)
        assert snapshot(database) == at_once
        assert problems(database) == []


def test_a_workflow_that_was_final_is_amended_when_its_id_turns_out_to_be_shared(
    ledger: LedgerStore, database: Database
) -> None:
    """The ninth call, after the others became final: each of those that had been a duplicate is billed now."""
    *calls, last = one_after_the_other(BOUND + 1)
    ledger.commit([request(*calls)], price_by_sum)
    received_at = datetime.fromtimestamp(RECEIVED_AT_UNIX_NS // 10**9, UTC)
    final = finalise(database, idle=timedelta(hours=1), now=received_at + timedelta(days=2))
    assert len(final) == BOUND
    ledger.commit([request(last)], price_by_sum)
    assert billed_count(database) == BOUND + 1
    amended = rows(database, "select before_usd, after_usd > 0 from callfare.amendment where before_usd = 0")
    assert amended == [(0, True)] * (BOUND - 1)
    assert problems(database) == []


def test_after_that_no_other_trace_is_loaded(ledger: LedgerStore, database: Database) -> None:
    """What is known of the id is one flag: the next call with it is settled alone."""
    calls = one_after_the_other(33)
    for each in calls:
        ledger.commit([request(each)], price_by_sum)
    assert rows(database, "select count(*) from callfare.trace_join") == [(0,)]
    assert rows(database, "select count(*) from callfare.provider_call where is_shared") == [(1,)]
    others = "select trace_id, version from callfare.trace where trace_id <> '28282828-2828-2828-2828-282828282828'"
    before = rows(database, f"{others} order by 1")
    ledger.commit([request(one_after_the_other(40)[-1])], price_by_sum)
    assert billed_count(database) == 33 + 1
    assert rows(database, f"{others} order by 1") == before


def test_a_neighbour_that_comes_later_knows_of_the_shared_id(ledger: LedgerStore, database: Database) -> None:
    """Two spans of one trace have the id; a third span settles that trace again and joins them no more than before."""
    calls = [
        *one_after_the_other(BOUND + 1),
        call("b", trace=b"\x01" * 16, start_ms=9000, end_ms=9500, call_id="response:same"),
    ]
    ledger.commit([request(*calls)], price_by_sum)
    assert billed_count(database) == BOUND + 2
    later = call("c", parent="b", trace=b"\x01" * 16, quantities={"characters": 7})
    ledger.commit([request(later)], price_by_sum)
    assert billed_count(database) == BOUND + 3


def test_traces_that_another_id_joins_stay_joined(ledger: LedgerStore, database: Database) -> None:
    """Only the joins by the shared id are undone."""
    calls = one_after_the_other(BOUND + 1)
    pair = [
        call(
            name,
            parent=None,
            trace=bytes([1 + number]) * 16,
            start_ms=100_000,
            end_ms=101_000,
            call_id="response:other",
            scope=name,
        )
        for number, name in enumerate("xy")
    ]
    ledger.commit([request(*pair, *calls[:4])], price_by_sum)
    for each in calls[4:]:
        ledger.commit([request(each)], price_by_sum)
    assert billed_count(database) == BOUND + 2
    pairs = rows(database, "select distinct trace_id, other_trace_id from callfare.trace_join")
    assert len(pairs) == len(pair)


def test_spans_that_overlap_are_one_call_however_many(ledger: LedgerStore, database: Database) -> None:
    """Forty traces with one id at one time: one call, in any order, and not the first thirty-two of them."""
    calls = [call("a", parent=None, trace=bytes([1 + number]) * 16, call_id="response:same") for number in range(40)]
    for each in calls:
        ledger.commit([request(each)], price_by_sum)
    assert billed_count(database) == 1


def test_a_phone_call_may_be_asked_for_again_and_again(ledger: LedgerStore, database: Database) -> None:
    """Who waits for the price of a call asks for it many times: that stays one call."""
    for each in one_after_the_other(33, call_id="phone:CA1", operation="phone_call"):
        ledger.commit([request(each)], price_by_sum)
    assert billed_count(database) == 1


def test_a_leg_is_counted_under_the_model_that_its_callback_names(ledger: LedgerStore, database: Database) -> None:
    """In any order, also once the stored facts are settled again by what comes days later."""
    phone: dict[str, Any] = {"operation": "phone_call", "provider": "twilio", "call_id": "phone:CA1", "model": ""}
    stub = call("stub", end_ms=1, quantities={}, **phone)
    callback = call("back", parent=None, trace=b"b" * 16, quantities={"call_seconds": 75}, **phone | {"model": "sip"})
    price = call("price", parent=None, trace=b"c" * 16, end_ms=99_000, quantities={}, **phone)
    snapshots: list[dict[str, list[str]]] = []
    for order in itertools.permutations((stub, callback, price)):
        clear(database)
        for each in order:
            ledger.commit([request(each)], price_by_sum)
        shown = rows(database, "select model, provider from callfare.cost_record where status <> 'duplicate'")
        counted = rows(database, "select model, request_count from callfare.daily_cost")
        assert shown == [("sip", "twilio")]
        assert ("sip", 1) in counted
        assert problems(database) == []
        snapshots.append(snapshot(database))
    assert all(each == snapshots[0] for each in snapshots)
