"""`verify --deep` reports nothing of what ingest rightly leaves as it is, and waits for nobody out of order."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.quote import Line, Quote, Rate
from cost_exporter.domain.settling.settle import Price
from cost_exporter.domain.span import ESTIMATED_BY_US, Call
from cost_exporter.prices.loader import load_book
from cost_exporter.store.database.connection import connect_ledger
from cost_exporter.store.deep_check import deep_check
from cost_exporter.store.differences import Difference
from cost_exporter.store.ledger import locked_traces
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.ledger.locked_traces import lock_and_load
from tests.domain.builders import OTHER_TRACE, TRACE, call
from tests.store.requests import request, rows
from tests.store.test_framing import arriving
from tests.store.test_shared_ids import BOUND, one_after_the_other

Database = psycopg.Connection[Any]
BOOK = load_book()
PRICE: Price = BOOK.price_of_call


def differences(database: Database, prices: dict[str, Price] | None = None) -> list[Difference]:
    known = {BOOK.version: PRICE, "": PRICE} if prices is None else prices
    with connect_ledger(database.info.dsn) as connection:
        return [each for step in deep_check(connection, known.get) for each in step.differences]


def test_a_framing_span_with_an_id_of_its_own_has_no_key(ledger: LedgerStore, database: Database) -> None:
    """Ingest makes keys of calls alone; a span that may only frame them states a session or a phone call as well."""
    agent = call("agent", quantities={}, is_look_alike=True, session_id="s-1", session_sequence=0)
    ledger.commit([arriving(agent)], PRICE)
    assert rows(database, "select count(*) from callfare.cost_record") == [(1,)]
    assert differences(database) == []
    ledger.commit([request(call("call", parent="agent", call_id="response:1"))], PRICE)
    assert differences(database) == []
    database.execute("delete from callfare.provider_call")
    assert [each.problem for each in differences(database)] == ["provider_call"]


def _by_version(version: str, amount_usd: Decimal) -> Price:
    """A version of the book by which every call costs the same."""
    line = Line(Rate("requests", amount_usd, Decimal(1)), Decimal(1), Decimal(1), amount_usd)
    quote = Quote(amount_usd=amount_usd, status="priced", lines=(line,), book_version=version)
    return lambda _: quote


def test_equal_usage_of_two_books_in_a_long_trace_is_not_judged(
    ledger: LedgerStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long trace ingest loads a part, so a neighbour's quote is not there to be kept. Costs are still added up."""
    monkeypatch.setattr("cost_exporter.store.ledger.long_traces.LONG_TRACE_SPANS", 0)
    prices = {version: _by_version(version, Decimal(version)) for version in ("1", "2")}
    ledger.commit([request(call("first", start_ms=5000, end_ms=6000))], prices["1"])
    # Equal to the book; but an estimate of ours is tied to no figure that an emitter states.
    for version, issues in (("1", tuple(sorted(ESTIMATED_BY_US)[:1])), ("2", ())):
        estimated = call(f"e{version}", parent=f"p{version}", is_estimated=True, issues=issues)
        ledger.commit([request(estimated)], prices[version])
    assert rows(database, "select book_version from callfare.cost_record order by 1") == [("1",), ("1",), ("2",)]
    assert differences(database, prices) == []
    raise_costs = "update callfare.record set cost_usd = cost_usd + %s where status <> 'duplicate'"
    database.execute(raise_costs, [1])
    assert [list(each.found) for each in differences(database, prices)][-1] == ["cost_usd"]
    database.execute(raise_costs, [-1])


def test_a_join_that_was_refused_for_size_is_not_missed_after_the_others_parted(
    ledger: LedgerStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was too large then is small now, because an id turned out to be shared by too many calls."""
    monkeypatch.setattr(locked_traces, "JOINED_TRACES_MAX", BOUND + 1)
    *calls, last = one_after_the_other(BOUND + 1)
    pair: list[Call] = [
        call("p", trace=trace, scope=trace.decode()[0], call_id="response:pair") for trace in (TRACE, OTHER_TRACE)
    ]
    extra = {"start_ms": 90_000, "end_ms": 91_000, "call_id": "response:other"}
    ledger.commit([request(*calls, call("x", trace=calls[0].trace_id, **extra))], PRICE)
    ledger.commit([request(*pair)], PRICE)
    ledger.commit([request(call("y", scope="scope.y", **extra))], PRICE)
    joined = rows(database, "select count(*) from callfare.trace_join where trace_id = %s", TRACE.hex())
    assert joined == [(1,)]
    assert differences(database) == []
    ledger.commit([request(last)], PRICE)
    assert rows(database, "select count(*) from callfare.trace where shared_keys <> ''") == [(BOUND + 1,)]
    assert differences(database) == []


def test_a_further_attempt_begins_without_a_lock(
    ledger: LedgerStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks are taken in the order of keys; kept while more is locked, they could wait in a circle with ingest."""
    for trace, scope in ((TRACE, "scope.a"), (OTHER_TRACE, "scope.b")):
        ledger.commit([request(call("a", trace=trace, scope=scope, call_id="response:one"))], PRICE)
    free: list[int] = []

    def attempt(*arguments: Any) -> Any:
        query = "select trace_id from callfare.trace for no key update skip locked"
        with psycopg.connect(database.info.dsn) as ingest:
            free.append(len(rows(ingest, query)))
        return lock_and_load(*arguments)

    monkeypatch.setattr("cost_exporter.store.deep_check._TRACES_AT_ONCE", 1)
    monkeypatch.setattr(locked_traces, "lock_and_load", attempt)
    assert differences(database) == []
    assert free == [2, 2, 2, 2]
