"""Messages that wait in Kafka: the consumer makes the alert, once an hour a topic, and never waits for it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cost_exporter.alerts.lag import LagJudge, judge_lag
from cost_exporter.alerts.receivers import receiver_of
from cost_exporter.cli.consume import _lag_judge
from cost_exporter.settings import AlertRule, Config
from tests.support.waiting import wait_until

NOW = datetime(2026, 11, 30, 8, 30, tzinfo=UTC)
LAGS = {("spans", 0): 60, ("spans", 1): 50, ("other", 0): 5}
Database = psycopg.Connection[Any]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def rule(name: str, lag_messages: int | None = None, *, on: str = "kafka_lag") -> AlertRule:
    given = {"name": name, "kind": "webhook", "url": "https://example.com/hook", "on": on}
    return AlertRule.model_validate(given | ({} if lag_messages is None else {"lag_messages": lag_messages}))


def found(database: Database) -> list[tuple[str, int, str]]:
    return database.execute(
        "select scope, threshold::int, receiver from callfare.alert join callfare.alert_delivery using (alert_id)"
        " order by alert.made_at, threshold, receiver"
    ).fetchall()


def test_a_topic_alerts_once_an_hour_by_all_its_partitions(database: Database) -> None:
    """Each receiver by its own number; at that number nothing waits too long yet."""
    receivers = [receiver_of(rule("early", 100)), receiver_of(rule("late", 110)), receiver_of(rule("default"))]
    assert judge_lag(database, receivers, LAGS, now=NOW) == 1
    assert judge_lag(database, receivers, LAGS, now=NOW + timedelta(minutes=29)) == 0
    assert found(database) == [("spans", 100, "early")]
    assert judge_lag(database, receivers, {("spans", 0): 111}, now=NOW + timedelta(minutes=30)) == 2
    assert found(database)[1:] == [("spans", 100, "early"), ("spans", 110, "late")]
    assert judge_lag(database, receivers, {}, now=NOW + timedelta(hours=2)) == 0


def test_the_consumer_leaves_its_figures_and_goes_on(database: Database, database_url: str) -> None:
    """The thread judges the newest ones, also after a database that was away."""
    is_away = [True]

    @contextmanager
    def lend() -> Iterator[Database]:
        if is_away.pop() if is_away else False:
            raise psycopg.OperationalError("away")
        with psycopg.connect(database_url) as connection:
            yield connection

    judge = LagJudge(lend, [rule("ops", 100)])
    try:
        judge.lagging(LAGS)
        wait_until("the first figures are lost", lambda: not is_away)
        judge.lagging(LAGS)
        wait_until("judged", lambda: found(database) == [("spans", 100, "ops")])
    finally:
        judge.stop()


def test_where_nobody_asks_nothing_runs() -> None:
    """A rule for other alerts is no reason to look, nor to connect to a database."""
    assert _lag_judge(Config(alerts=(rule("ops", on="budget"),)), "postgresql://nowhere.invalid/", ExitStack()) is None
