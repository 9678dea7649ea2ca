"""Alerts by their numbers: who gets which, and when an hour is a spike."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from cost_exporter.domain.alerting import ALERT_KINDS, Alert, AlertKind, Every, Receiver, is_spike, last_period

AT = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hour", "before", "min_usd", "expected"),
    [
        # All equal: the spread is a tenth of the median, so more than 1 + 6 * 1.4826 * 0.1 = 1.88956.
        ("1.88956", "1 1 1 1 1 1 1", "0", False),
        ("1.889561", "1 1 1 1 1 1 1", "0", True),
        # Median 4, deviations 3 2 1 0 1 2 3: their median is 2; more than 4 + 6 * 1.4826 * 2 = 21.7912.
        ("21.7912", "1 2 3 4 5 6 7", "0", False),
        ("21.7913", "1 2 3 4 5 6 7", "0", True),
        # Median of four: 2.5; deviations 1.5 0.5 0.5 1.5: 1; more than 2.5 + 8.8956.
        ("11.3956", "1 2 3 4", "0", False),
        ("11.3957", "1 2 3 4", "0", True),
        ("100", "1 2 3", "0", False),
        ("100", "", "0", False),
        # Quiet hours: anything is more than nothing, but not by the least amount.
        ("0.9", "0 0 0 0 0 0 0", "1", False),
        ("1", "0 0 0 0 0 0 0", "1", True),
        ("0", "0 0 0 0 0 0 0", "0", False),
    ],
)
def test_a_spike_is_far_above_the_median_by_robust_deviations(
    hour: str, before: str, min_usd: str, expected: bool
) -> None:
    """To the last digit, and never with fewer than four hours."""
    assert is_spike(D(hour), [D(each) for each in before.split()], D(min_usd)) is expected


OWN_THRESHOLDS: list[tuple[AlertKind, D]] = [
    ("workflow_over", D("0.5")),
    ("spike", D(2)),
    ("silence", D(45)),
    ("prices_old", D(10)),
    ("kafka_lag", D(500)),
]


@pytest.mark.parametrize(("kind", "own"), OWN_THRESHOLDS)
def test_a_receiver_gets_alerts_by_its_own_threshold(kind: AlertKind, own: D) -> None:
    """And not those that others asked for by theirs."""
    receiver = Receiver(
        name="ops",
        kinds=frozenset(ALERT_KINDS),
        over_usd=D("0.50"),
        spike_min_usd=D(2),
        silence=timedelta(minutes=45),
        prices_old=timedelta(days=10),
        lag_message_count=500,
    )
    assert receiver.gets(Alert(kind=kind, tenant="acme", scope="", window_start=AT, threshold=own))
    assert not receiver.gets(Alert(kind=kind, tenant="acme", scope="", window_start=AT, threshold=own + 1))


def test_a_receiver_gets_its_kinds_and_its_tenant() -> None:
    """All tenants where it names none."""
    alert = Alert(kind="budget", tenant="acme", scope="day", window_start=AT, threshold=D(80), limit_usd=D(1))
    everybody = Receiver(name="ops", kinds=frozenset({"budget"}))
    assert everybody.gets(alert)
    assert Receiver(name="ops", kinds=frozenset({"budget"}), tenant="acme").gets(alert)
    assert not Receiver(name="ops", kinds=frozenset({"budget"}), tenant="globex").gets(alert)
    assert not Receiver(name="ops", kinds=frozenset({"unpriced"})).gets(alert)


@pytest.mark.parametrize(
    ("every", "now", "since", "until"),
    [
        ("day", "2026-03-01T00:09:59Z", "2026-02-27", "2026-02-28"),
        ("day", "2026-03-01T00:10:00Z", "2026-02-28", "2026-03-01"),
        ("day", "2026-03-01T23:00:00-05:00", "2026-03-01", "2026-03-02"),
        ("week", "2026-11-30T00:09:00Z", "2026-11-16", "2026-11-23"),
        ("week", "2026-11-30T00:10:00Z", "2026-11-23", "2026-11-30"),
        ("week", "2026-12-06T23:59:00Z", "2026-11-23", "2026-11-30"),
        ("month", "2026-01-01T00:09:00Z", "2025-11-01", "2025-12-01"),
        ("month", "2026-01-31T12:00:00Z", "2025-12-01", "2026-01-01"),
        ("month", "2024-03-15T12:00:00Z", "2024-02-01", "2024-03-01"),
    ],
)
def test_a_period_is_over_ten_minutes_after_its_end(every: Every, now: str, since: str, until: str) -> None:
    """In UTC, weeks from Monday: what was spent in its last minutes has come by then."""
    found = last_period(every, datetime.fromisoformat(now))
    assert found == tuple(datetime.fromisoformat(f"{day}T00:00:00Z") for day in (since, until))
