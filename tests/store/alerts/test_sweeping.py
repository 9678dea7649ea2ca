"""The sweep: what no commit brings about, one service at a time."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from uuid import UUID

import psycopg
import pytest

from cost_exporter.domain.alerting import Receiver
from cost_exporter.store.database.locks import Lock, lock_transaction
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.store.alerts.setting import alerts, deliveries, judge, sweep_at
from tests.store.budgets.setting import NOW, Database, price, spent_call
from tests.store.requests import request

DAY_MS = 86_400_000
MINUTES = timedelta(minutes=1)
SPIKES = Receiver(name="ops", kinds=frozenset({"spike"}), spike_min_usd=D("0.05"))
SILENCE = Receiver(name="ops", kinds=frozenset({"silence"}), silence=30 * MINUTES)


def spend(ledger: LedgerStore, name: str, micro_usd: int, start_ms: int) -> None:
    trace = UUID(int=abs(start_ms) + 1).bytes
    each = spent_call(name, micro_usd, start_ms=start_ms, end_ms=start_ms + 1000, trace=trace, service_name="bot")
    ledger.commit([request(each)], price)


def test_another_service_that_sweeps_is_left_to_it(database: Database, database_url: str) -> None:
    """Until its transaction is over."""
    with psycopg.connect(database_url) as other:
        lock_transaction(other, Lock.ALERTS)
        assert sweep_at(database) is None
    assert sweep_at(database) == 0


@pytest.mark.parametrize(("days", "expected"), [(7, 1), (4, 1), (3, 0)])
def test_an_hour_far_above_the_same_hour_of_the_days_before_is_a_spike(
    ledger: LedgerStore, database: Database, days: int, expected: int
) -> None:
    """Once for the hour; with fewer than four days to compare with, never."""
    for day in range(1, days + 1):
        spend(ledger, f"d{day}", 10_000, -day * DAY_MS)
    spend(ledger, "now", 70_000, 0)
    assert sweep_at(database, SPIKES) == expected
    spend(ledger, "more", 70_000, 2000)
    assert sweep_at(database, SPIKES) == 0
    assert len(alerts(database, "spike")) == expected


def test_another_hour_of_the_days_before_is_no_measure(ledger: LedgerStore, database: Database) -> None:
    """The same hour is."""
    for day in range(1, 8):
        spend(ledger, f"d{day}", 10_000, -day * DAY_MS - 3_600_000)
    spend(ledger, "now", 900_000, 0)
    assert sweep_at(database, SPIKES) == 0


def send(database: Database, *minutes: int, service: str = "bot") -> None:
    """The service sends something at these minutes after NOW."""
    for at in minutes:
        database.execute("insert into callfare.spend_mark (tenant_id, service_name) values ('acme', %s)", (service,))
        judge(database, SILENCE, at=NOW + at * MINUTES)


def silent_at(database: Database, minute: int, *, listening_since: int = -1000) -> int | None:
    since = NOW + listening_since * MINUTES
    return sweep_at(database, SILENCE, at=NOW + minute * MINUTES, listening_since=since)


def test_a_service_that_was_sending_and_is_silent_alerts_once(database: Database) -> None:
    """And again when it falls silent another time, for longer than it ever was."""
    send(database, *range(0, 65, 5))
    assert silent_at(database, 85) == 0
    assert silent_at(database, 91) == 1
    assert silent_at(database, 200) == 0
    send(database, 200)  # silent for 140 minutes: that is how it is
    assert silent_at(database, 300) == 0
    assert silent_at(database, 200 + 281) == 1
    assert deliveries(database) == [("ops", "silence"), ("ops", "silence")]


def test_a_service_that_sent_once_or_for_a_moment_was_not_sending(database: Database) -> None:
    """A script is done."""
    send(database, 0, 5, service="script")
    assert silent_at(database, 100) == 0


def test_nobody_was_silent_while_callfare_did_not_listen(database: Database) -> None:
    """After a restart services have time to come back."""
    send(database, *range(0, 65, 5))
    assert silent_at(database, 500, listening_since=490) == 0
    assert silent_at(database, 521, listening_since=490) == 1


def test_a_service_of_a_week_ago_begins_again(database: Database) -> None:
    """Its gap of a week is not how it is."""
    week = 7 * 24 * 60
    send(database, 0, 60, week + 100, week + 170)
    assert silent_at(database, week + 170 + 141) == 1


def test_old_prices_alert_once_until_they_are_checked_again(database: Database) -> None:
    """By the age that each receiver chose."""
    month = Receiver(name="month", kinds=frozenset({"prices_old"}))
    week = Receiver(name="week", kinds=frozenset({"prices_old"}), prices_old=timedelta(days=7))

    def at(day: date, checked_on: date) -> int | None:
        return sweep_at(
            database, month, week, at=datetime(day.year, day.month, day.day, tzinfo=UTC), prices_checked_on=checked_on
        )

    assert at(date(2026, 11, 8), date(2026, 11, 1)) == 0
    assert at(date(2026, 11, 9), date(2026, 11, 1)) == 1
    assert at(date(2026, 12, 9), date(2026, 11, 1)) == 1
    assert at(date(2026, 12, 10), date(2026, 11, 1)) == 0
    assert at(date(2026, 12, 19), date(2026, 12, 9)) == 1
    assert deliveries(database) == [("month", "prices_old"), ("week", "prices_old"), ("week", "prices_old")]


def test_a_ledger_that_disagrees_alerts_once_a_day(database: Database) -> None:
    """And before the first check nothing is known."""
    assert sweep_at(database, mismatch_count=None) == 0
    assert sweep_at(database, mismatch_count=0) == 0
    assert sweep_at(database, mismatch_count=3) == 1
    assert sweep_at(database, mismatch_count=4) == 0
    assert sweep_at(database, mismatch_count=4, at=NOW + timedelta(days=1)) == 1


def test_spans_that_came_too_late_alert_once_a_day(database: Database) -> None:
    """Nobody is billed for them; other dead letters are no such thing."""

    def letter(reason: str, received_at: datetime) -> None:
        database.execute(
            "insert into callfare.dead_letter (received_at, namespace, is_tenant_trusted, reason, detail, trace_id,"
            " span_id, payload, payload_kind, digest) values (%s, 'acme', true, %s, '', '', '', '', 'none',"
            " decode(md5(random()::text), 'hex'))",
            (received_at, reason),
        )

    letter("too_old", NOW - timedelta(days=1))
    letter("no_tenant", NOW)
    assert sweep_at(database) == 0
    letter("too_old", NOW)
    assert sweep_at(database) == 1
    letter("too_old", NOW)
    assert sweep_at(database) == 0
    letter("too_old", NOW + timedelta(days=1))
    assert sweep_at(database, at=NOW + timedelta(days=1)) == 1
