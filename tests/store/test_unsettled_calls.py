"""A call that cannot be settled or priced is our fault: its sender tries again, and no dead letter is made of it."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.quote import Quote
from cost_exporter.domain.span import Call
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.errors import StoreFault
from cost_exporter.store.ledger.committer import Committer
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import call, price_by_sum
from tests.store.requests import request, rows

Database = psycopg.Connection[Any]
BROKEN = "a-broken-row"
ERRORS = [
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    ZeroDivisionError,
    ValueError,
    RecursionError,
]


def in_trace(number: int, model: str = "gpt-4o") -> Call:
    one = call("a", trace=bytes([1 + number]) * 16)
    return replace(one, usage=replace(one.usage, model=model))


def broken_for(model: str | None, error: type[Exception] = TypeError) -> Callable[[UsageRecord], Quote]:
    """A book that prices all but one model; None: it prices nothing."""

    def price(usage: UsageRecord) -> Quote:
        if model is None or usage.model == model:
            raise error("the price book is broken")
        return price_by_sum(usage)

    return price


def counts(database: Database) -> list[tuple[Any, ...]]:
    return rows(database, "select (select count(*) from callfare.record), (select count(*) from callfare.dead_letter)")


@pytest.mark.parametrize("error", ERRORS)
def test_a_broken_book_makes_no_dead_letters(ledger: LedgerStore, database: Database, error: type[Exception]) -> None:
    """Whatever it raises, nothing is acknowledged; once it is mended, what comes again is stored."""
    batch = request(*(in_trace(number) for number in range(3)))
    with pytest.raises(StoreFault, match=f"^a call could not be settled or priced: {error.__name__} in price$"):
        ledger.commit([batch], broken_for(None, error))
    assert counts(database) == [(0, 0)]
    (receipt,) = ledger.commit([batch], price_by_sum)
    assert (receipt.accepted, receipt.dead_letter) == (3, 0)


def test_the_other_traces_of_a_refused_request_are_stored(ledger: LedgerStore, database: Database) -> None:
    """One row is broken: the sender is asked to come again, and what could be billed is billed until then, once."""
    batch = request(in_trace(0), in_trace(1, BROKEN), in_trace(2))
    for _ in range(2):
        with pytest.raises(StoreFault):
            ledger.commit([batch], broken_for(BROKEN))
        assert counts(database) == [(2, 0)]
    (receipt,) = ledger.commit([batch], price_by_sum)
    assert (receipt.accepted, receipt.duplicate) == (1, 2)
    assert counts(database) == [(3, 0)]
    assert rows(database, "select * from callfare.integrity_check") == []


def test_a_trace_with_what_cannot_be_priced_stays_as_it_is(ledger: LedgerStore, database: Database) -> None:
    """Nothing of it is stored, and nothing that was stored changes."""
    ledger.commit([request(in_trace(0))], price_by_sum)
    later = replace(in_trace(0, BROKEN), span_id=b"\x09" * 8)
    with pytest.raises(StoreFault):
        ledger.commit([request(later, in_trace(1))], broken_for(BROKEN))
    assert rows(database, "select cost_usd from callfare.cost_record") == [(D("0.001545"),)] * 2
    assert rows(database, "select total_cost_usd from callfare.workflow_cost") == [(D("0.001545"),)] * 2


def test_requests_that_share_a_commit_are_answered_apart(database_url: str, database: Database) -> None:
    """Only the one with the fault is refused."""
    store = LedgerStore(database_url)
    good, bad = request(in_trace(0)), request(in_trace(1, BROKEN))
    with pytest.raises(StoreFault):
        store.commit([good, bad], broken_for(BROKEN))
    assert counts(database) == [(0, 0)]
    store.close()
    committer = Committer(lambda: LedgerStore(database_url), broken_for(BROKEN))
    assert committer.submit(good).accepted == 1
    with pytest.raises(StoreFault):
        committer.submit(bad)
    committer.close()
