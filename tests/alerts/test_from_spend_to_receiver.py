"""From what is spent to who hears of it: exactly two alerts each, and none of what was never committed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from cost_exporter.alerts.delivery import Deliverer
from cost_exporter.alerts.receivers import receiver_of
from cost_exporter.settings import AlertRule
from cost_exporter.settings.budget_rule import BudgetRule
from cost_exporter.store.alerts.judging import judge_marked
from cost_exporter.store.budgets.definitions import put_budget
from cost_exporter.store.budgets.rules import spec_of
from cost_exporter.store.database.session import open_pool
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.alerts.receiver import receiving
from tests.store.alerts.setting import judge, sweep_at
from tests.store.budgets.setting import NOW, Database, price, set_budget, spent_call
from tests.store.requests import request

KINDS = ("webhook", "slack", "discord")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update callfare.alert_judge set judged_at = now()")  # somebody judges: marks are made
        yield connection


@pytest.fixture
def pool(database_url: str) -> Iterator[ConnectionPool[Any]]:
    with open_pool(database_url, size_max=4, wait_seconds_max=60, name="alerts") as opened:
        yield opened


@pytest.fixture
def ledger(database_url: str) -> Iterator[LedgerStore]:
    store = LedgerStore(database_url)
    yield store
    store.close()


def rule(kind: str, url: str) -> AlertRule:
    given = {"name": kind, "kind": kind, "url": url, "on": ("budget",), "allow_private": True}
    return AlertRule.model_validate(given)


def drain(pool: ConnectionPool[Any], rules: list[AlertRule]) -> None:
    """What a service that has just started delivers until nothing is due."""
    sender = Deliverer(pool.connection, rules, page_url="http://page", wait_after=lambda _: timedelta(0))
    for each in rules:
        while sender.deliver_next(each):
            pass


def test_three_receivers_that_fail_twice_get_two_alerts_each(
    pool: ConnectionPool[Any], database: Database, ledger: LedgerStore
) -> None:
    """An hourly 1.00 with soft 80 %: at 0.80 and at 1.00, and nothing more after a restart."""
    stated = {"name": "acme-hour", "tenant": "acme", "window": "hour", "limit_usd": "1.00", "soft_percent": 80}
    put_budget(database, spec_of(BudgetRule.model_validate(stated)))
    with ExitStack() as stack:
        hearing = {kind: stack.enter_context(receiving()) for kind in KINDS}
        rules = [rule(kind, receiver.url) for kind, receiver in hearing.items()]
        receivers = [receiver_of(each) for each in rules]
        for receiver in hearing.values():
            receiver.answers += [(500, {}), (503, {})]
        for number in range(13):  # ten cents each
            ledger.commit([request(spent_call(f"s{number}", 100_000))], price)
            judge(database, *receivers)
            drain(pool, rules)
        for _ in range(2):  # a service that starts sweeps, judges and delivers what it finds
            sweep_at(database, *receivers)
            judge(database, *receivers)
            drain(pool, rules)
        for receiver in hearing.values():
            assert len(receiver.got) == 2 + 2, "two refused, two taken"
            assert len({headers["webhook-id"] for _, headers, _ in receiver.got if "webhook-id" in headers}) in {0, 2}
    found = database.execute(
        "select receiver, state, count(*) from callfare.alert_delivery group by 1, 2 order by 1"
    ).fetchall()
    assert found == [(kind, "delivered", 2) for kind in sorted(KINDS)]


Deliver = Callable[[psycopg.Connection[Any], AlertRule], None]


def _after_the_commit(_: psycopg.Connection[Any], __: AlertRule) -> None:
    """The product: nobody sends within the transaction that judges."""


def _before_the_commit(judging: psycopg.Connection[Any], to: AlertRule) -> None:
    """The fault: what a transaction has made is sent before it is committed."""

    @contextmanager
    def lend() -> Iterator[psycopg.Connection[Any]]:
        yield judging

    while Deliverer(lend, [to], page_url="http://page", wait_after=lambda _: timedelta(0)).deliver_next(to):
        pass


@pytest.mark.parametrize(("deliver", "received"), [(_after_the_commit, 0), (_before_the_commit, 1)])
def test_nobody_hears_of_an_alert_that_was_rolled_back(  # noqa: PLR0917 - fixtures
    pool: ConnectionPool[Any],
    database: Database,  # before the ledger: marks are made from then on
    database_url: str,
    ledger: LedgerStore,
    deliver: Deliver,
    received: int,
) -> None:
    """A connection that breaks takes the alert with it. With the fault somebody has heard of it by then."""
    set_budget(database, thresholds=(D(100),))
    ledger.commit([request(spent_call("a", 1_000_000))], price)
    with receiving() as receiver:
        to = rule("webhook", receiver.url)
        with psycopg.connect(database_url) as judging:
            judging.execute("select")  # opens a transaction, which the judge's own is a part of
            assert judge_marked(judging, [receiver_of(to)], now=NOW) == 1
            deliver(judging, to)
            drain(pool, [to])
            judging.rollback()
        drain(pool, [to])
        assert len(receiver.got) == received
