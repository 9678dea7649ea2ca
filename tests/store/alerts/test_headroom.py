"""Budgets to which nothing can have happened are left out, and no alert is late by it."""

from datetime import timedelta
from decimal import Decimal as D

import psycopg
import pytest

from cost_exporter.domain.alerting import Receiver
from cost_exporter.store.alerts.headroom import Headroom
from cost_exporter.store.alerts.judging import _due, judge_marked
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.store.alerts.setting import EVERYTHING, alerts
from tests.store.budgets.setting import NOW, Database, price, set_budget, spent_call
from tests.store.requests import request

LATER = NOW.replace(minute=30)
"""No window has just ended."""


def spend(ledger: LedgerStore, name: str, micro_usd: int, **fields: object) -> None:
    ledger.commit([request(spent_call(name, micro_usd, **fields))], price)


def due(database: Database, headroom: Headroom) -> int:
    return len(_due(database, ["acme"], LATER, headroom))


def judge(database: Database, headroom: Headroom, *receivers: Receiver) -> int:
    return judge_marked(database, receivers or (EVERYTHING,), now=LATER, headroom=headroom)


def test_an_account_is_looked_at_again_when_its_tenant_spent_what_it_has_left(
    ledger: LedgerStore, database: Database
) -> None:
    """Not before, and at the cent at which it may have reached the threshold."""
    set_budget(database, thresholds=(D(50), D(100)))
    headroom = Headroom()
    spend(ledger, "a", 100_000)
    assert due(database, headroom) == 1
    assert due(database, headroom) == 0
    spend(ledger, "b", 399_999)
    assert due(database, headroom) == 0
    spend(ledger, "c", 1)
    assert due(database, headroom) == 1


def test_every_threshold_is_reported_when_it_is_reached(ledger: LedgerStore, database: Database) -> None:
    """As without it; and an account that has reported all of them is not looked at any more."""
    set_budget(database, thresholds=(D(50), D(80), D(100)))
    headroom = Headroom()
    found: list[int] = []
    for number in range(12):
        spend(ledger, f"s{number}", 100_000)
        found.append(judge(database, headroom))
    assert found == [0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0]
    assert [threshold for _, _, threshold in alerts(database)] == [D(50), D(80), D(100)]
    assert due(database, headroom) == 0


def test_a_changed_budget_is_looked_at(ledger: LedgerStore, database: Database) -> None:
    """A limit that is lowered has its alert at the next look, and so has a new budget."""
    set_budget(database, limit="100", thresholds=(D(100),))
    headroom = Headroom()
    spend(ledger, "a", 500_000)
    assert judge(database, headroom) == 0
    set_budget(database, limit="0.40", thresholds=(D(100),))
    set_budget(database, "acme-hour", "0.30", time_window="hour", thresholds=(D(100),))
    spend(ledger, "b", 1)
    assert judge(database, headroom) == 2


def test_a_window_that_has_ended_is_looked_at(ledger: LedgerStore, database: Database) -> None:
    """What is left was that of the window before."""
    set_budget(database, "acme-hour", "1.00", time_window="hour", thresholds=(D(100),))
    headroom = Headroom()
    spend(ledger, "a", 100_000)
    assert due(database, headroom) == 1
    assert len(_due(database, ["acme"], LATER + timedelta(hours=1), headroom)) == 1


def test_what_failed_is_looked_at_again(ledger: LedgerStore, database: Database, database_url: str) -> None:
    """The transaction that judges is lost, and its alert with it: the next look makes it."""
    set_budget(database, thresholds=(D(100),))
    headroom = Headroom()
    spend(ledger, "a", 1_000_000)
    with psycopg.connect(database_url) as holder, psycopg.connect(database_url) as judging:
        holder.execute("lock table callfare.alert in access exclusive mode")
        judging.execute("set lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            judge(judging, headroom)
    assert judge(database, headroom) == 1
