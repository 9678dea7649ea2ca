"""The outbox and its senders: at least once, each receiver by itself, given up visibly."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from cost_exporter.alerts.delivery import Deliverer, backoff
from cost_exporter.alerts.judge import Judge
from cost_exporter.domain.alerting import Alert
from cost_exporter.domain.alerting import Receiver as Subscriber
from cost_exporter.settings import AlertRule
from cost_exporter.store.alerts.deliveries import claim, give_up_old
from cost_exporter.store.alerts.making import make_alert
from cost_exporter.store.database.session import open_pool
from tests.alerts.receiver import receiving
from tests.support.waiting import wait_until

NOW = datetime(2026, 11, 30, 8, tzinfo=UTC)


@pytest.fixture
def pool(database_url: str) -> Iterator[ConnectionPool[Any]]:
    with open_pool(database_url, size_max=8, wait_seconds_max=60, name="alerts") as opened:
        yield opened


def rule(name: str, url: str) -> AlertRule:
    given = {"name": name, "kind": "webhook", "url": url, "on": ("prices_old",), "allow_private": True}
    return AlertRule.model_validate(given)


def make(connection: psycopg.Connection[Any], *names: str, number: int = 1) -> None:
    receivers = [
        Subscriber(name=name, kinds=frozenset({"prices_old"}), prices_old=timedelta(days=number)) for name in names
    ]
    facts = {"checked_on": "2026-10-01", "age_days": 60, "prices_old_days": number}
    alert = Alert(kind="prices_old", tenant="", scope="", window_start=NOW, threshold=D(number), facts=facts)
    assert make_alert(connection, alert, receivers)


def states(pool: ConnectionPool[Any]) -> list[tuple[str, str, int]]:
    with pool.connection() as connection:
        query = "select receiver, state, attempts from callfare.alert_delivery order by receiver, made_at"
        return connection.execute(query).fetchall()


def deliverer(pool: ConnectionPool[Any], *rules: AlertRule, seconds: float = 0.0) -> Deliverer:
    def wait_after(_: int) -> timedelta:
        return timedelta(seconds=seconds)

    return Deliverer(pool.connection, rules, page_url="http://page", wait_after=wait_after)


def test_what_fails_is_tried_again_under_the_same_id_until_it_is_taken(pool: ConnectionPool[Any]) -> None:
    """And then never again."""
    with receiving() as receiver, pool.connection() as connection:
        make(connection, "ops")
        connection.commit()
        receiver.answers += [(500, {}), (500, {})]
        sender = deliverer(pool, rule("ops", receiver.url))
        attempts = [sender.deliver_next(rule("ops", receiver.url)) for _ in range(5)]
        assert attempts == [True, True, True, False, False]
        assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1
        assert states(pool) == [("ops", "delivered", 3)]


def test_a_receiver_that_hangs_delays_no_other(pool: ConnectionPool[Any]) -> None:
    """Each has a thread of its own, and no connection of the database is held meanwhile."""
    with receiving() as hanging, receiving() as quick, pool.connection() as connection:
        hanging.hangs.set()
        for number in range(1, 6):
            make(connection, "hanging", "quick", number=number)
        connection.commit()
        sender = deliverer(pool, rule("hanging", hanging.url), rule("quick", quick.url))
        sender.start()
        try:
            wait_until("all messages at the quick one", lambda: len(quick.got) == 5)
            assert len(hanging.got) <= 1
        finally:
            hanging.may_go_on.set()
            sender.stop()


def test_a_receiver_that_wants_to_be_left_alone_gets_nothing_else_meanwhile(pool: ConnectionPool[Any]) -> None:
    """429 with Retry-After holds for all that it has to get."""
    with receiving() as receiver, pool.connection() as connection:
        make(connection, "ops", number=1)
        make(connection, "ops", number=2)
        connection.commit()
        receiver.answers.append((429, {"Retry-After": "600"}))
        target = rule("ops", receiver.url)
        sender = deliverer(pool, target)
        assert sender.deliver_next(target)
        assert not sender.deliver_next(target)
        rows = connection.execute("select next_at - now() > '9 minutes' from callfare.alert_delivery").fetchall()
        assert rows == [(True,), (True,)]


def test_several_senders_send_a_message_once(pool: ConnectionPool[Any]) -> None:
    """Of several services with one database, one claims it."""
    with receiving() as receiver, pool.connection() as connection:
        for number in range(1, 21):
            make(connection, "ops", number=number)
        connection.commit()
        senders = [deliverer(pool, rule("ops", receiver.url)) for _ in range(3)]
        for sender in senders:
            sender.start()
        wait_until("all messages", lambda: all(state == "delivered" for _, state, _ in states(pool)))
        for sender in senders:
            sender.stop()
        ids = [headers["webhook-id"] for _, headers, _ in receiver.got]
        assert sorted(ids) == sorted(set(ids))
        assert len(ids) == 20


def test_a_sender_that_died_leaves_its_message_to_the_next_claim(pool: ConnectionPool[Any]) -> None:
    """A minute later: until then it may still be under way."""
    with pool.connection() as connection:
        make(connection, "ops")
        first = claim(connection, "ops")
        assert claim(connection, "ops") is None
        connection.execute("update callfare.alert_delivery set next_at = next_at - interval '1 minute'")
        second = claim(connection, "ops")
    assert first is not None
    assert second is not None
    assert (first.alert_id, first.attempt_count, second.alert_id, second.attempt_count) == (
        second.alert_id,
        1,
        first.alert_id,
        2,
    )


def test_what_nobody_takes_for_a_day_is_given_up_and_counted(pool: ConnectionPool[Any]) -> None:
    """With the last error; also where the receiver is in no configuration any more."""
    counted: list[str] = []
    with pool.connection() as connection:
        make(connection, "ops", "gone")
        connection.execute("update callfare.alert_delivery set made_at = now() - interval '25 hours', attempts = 40")
        connection.execute("update callfare.alert_delivery set last_error = 'HTTP 500' where receiver = 'ops'")
    Judge(
        pool.connection,
        [],
        prices_checked_on=NOW.date,
        mismatch_count=lambda: None,
        count_given_up=counted.append,
    ).sweep()
    assert sorted(counted) == ["gone", "ops"]
    assert [state for _, state, _ in states(pool)] == ["given_up", "given_up"]
    with pool.connection() as connection:
        assert claim(connection, "ops") is None
        errors = connection.execute("select last_error from callfare.alert_delivery order by receiver").fetchall()
        assert errors == [("no service had this receiver in its configuration",), ("HTTP 500",)]
        assert give_up_old(connection) == []


def test_the_wait_grows_to_an_hour() -> None:
    """Twice as long each time."""
    for attempt, seconds in ((1, 2), (2, 4), (5, 32), (12, 3600), (1000, 3600)):
        assert seconds * 0.75 <= backoff(attempt).total_seconds() <= seconds


def test_a_database_that_is_away_ends_nothing(pool: ConnectionPool[Any], caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and what waits is sent when it is back."""
    is_away = threading.Event()
    is_away.set()

    def lend() -> Any:
        if is_away.is_set():
            raise psycopg.OperationalError("the database is away")
        return pool.connection()

    with receiving() as receiver, pool.connection() as connection:
        make(connection, "ops")
        connection.commit()
        sender = Deliverer(lend, [rule("ops", receiver.url)], page_url="http://page")
        sender.start()
        try:
            wait_until("the warning", lambda: "the database is away" in caplog.text)
            is_away.clear()
            wait_until("the message", lambda: receiver.got)
        finally:
            sender.stop()
