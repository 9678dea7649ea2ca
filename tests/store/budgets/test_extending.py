"""A call that goes on: one reservation, which holds what was granted less what has arrived."""

from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from cost_exporter.store.budgets.accounts import CallScope
from cost_exporter.store.budgets.expiry import held_by_the_expired, sweep_reservations
from cost_exporter.store.budgets.reserving import extend, release, reserve, settle
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.store.budgets.setting import ACME, NOW, Database, figures, price, set_budget, spent_call
from tests.store.requests import request


def begin(database: Database, estimate: str = "0.30", scope: CallScope = ACME, **given: Any) -> str:
    given = {"namespace": "default", "at": NOW, "goes_on": True} | given
    made = reserve(database, scope, D(estimate), **given).reservation_id
    assert made is not None
    return made


def hold(database: Database, reservation_id: str, total: str, scope: CallScope = ACME, **given: Any) -> bool | None:
    given = {"namespace": "default", "at": NOW} | given
    outcome = extend(database, scope, reservation_id, D(total), **given)
    return None if outcome is None else outcome.is_allowed


@pytest.mark.parametrize("comes_first", ["span", "extension"])
def test_each_part_takes_its_own_from_what_is_held(database: Database, ledger: LedgerStore, comes_first: str) -> None:
    """Whichever gets here first, what is spent and what is reserved are right, and the id stays the same."""
    set_budget(database)
    call_id = begin(database)

    def arrive() -> None:
        ledger.commit([request(spent_call("a", 250_000, call_id))], price)

    def go_on() -> None:
        assert hold(database, call_id, "0.55")

    for step in (arrive, go_on) if comes_first == "span" else (go_on, arrive):
        step()
    assert figures(database) == (D("0.25"), D("0.30"), D("0.45"))
    ledger.commit([request(spent_call("b", 300_000, call_id))], price)
    assert settle(database, call_id, D("0.55"), namespace="default") is not None
    assert figures(database) == (D("0.55"), 0, D("0.45"))


def test_more_than_is_left_is_refused_and_nothing_changes(database: Database) -> None:
    """What the call itself holds is not in its own way."""
    set_budget(database)
    call_id = begin(database)
    assert hold(database, call_id, "1.00")
    assert figures(database)[2] == 0
    assert hold(database, call_id, "1.01") is False
    assert figures(database)[1] == D("1.00")
    assert hold(database, call_id, "0.40")
    assert figures(database)[1] == D("0.40")


def test_a_call_that_was_not_said_to_go_on_may_go_on(database: Database, ledger: LedgerStore) -> None:
    """The span that released it is counted in what it holds in all."""
    set_budget(database)
    call_id = begin(database, goes_on=False)
    ledger.commit([request(spent_call("a", 250_000, call_id))], price)
    assert figures(database)[1] == 0
    assert hold(database, call_id, "0.55")
    assert figures(database)[1] == D("0.30")


def test_in_the_next_window_it_holds_what_has_not_arrived(database: Database, ledger: LedgerStore) -> None:
    """A call over midnight: the day that is over keeps what its spans have not claimed."""
    set_budget(database)
    call_id = begin(database)
    ledger.commit([request(spent_call("a", 250_000, call_id))], price)
    assert hold(database, call_id, "0.60", at=NOW + timedelta(days=1))
    rows = database.execute("select granted_usd from callfare.reservation_hold order by window_start").fetchall()
    assert rows == [(D("0.30"),), (D("0.60"),)]


def test_an_unknown_or_foreign_or_settled_call_is_none(database: Database) -> None:
    """There is nothing to extend."""
    set_budget(database)
    call_id = begin(database)
    assert hold(database, call_id, "0.40", namespace="globex") is None
    assert hold(database, "00000000-0000-4000-8000-000000000000", "0.40") is None
    assert hold(database, "no id", "0.40") is None
    assert settle(database, call_id, D("0.10"), namespace="default") is not None
    assert hold(database, call_id, "0.40") is None


def test_a_silent_process_keeps_its_call_and_may_come_back(database: Database) -> None:
    """Expired, it stays held by a hard budget; the next extension shows that it lives."""
    set_budget(database, time_window="total")
    call_id = begin(database)
    database.execute("update callfare.reservation set heartbeat_at = heartbeat_at - interval '1 hour'")
    assert sweep_reservations(database, at=NOW) == 1
    assert [(each.kind, each.held_usd) for each in held_by_the_expired(database)] == [("session", D("0.30"))]
    assert hold(database, call_id, "0.50")
    assert held_by_the_expired(database) == []
    assert release(database, call_id, namespace="default") is not None
    assert figures(database)[1] == 0
