"""The sweep of each minute: what no commit brings about, and what was missed.

One service sweeps at a time, under an advisory lock of its transaction; where another one does, there is nothing to do.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from psycopg.rows import dict_row

from cost_exporter.domain.alerting import NO_TENANT, Alert, Receiver, is_spike
from cost_exporter.domain.money import to_plain
from cost_exporter.store.alerts.judging import judge_spending
from cost_exporter.store.alerts.making import Connection, make_alert
from cost_exporter.store.budgets.reserving import again
from cost_exporter.store.database.locks import Lock, try_lock_transaction
from cost_exporter.store.database.statements import statement
from cost_exporter.store.keeping import count_too_old

__all__ = ["Seen", "sweep"]

_DAYS_BEFORE: Final = 7
_WORKFLOWS_SINCE: Final = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the service that sweeps knows besides the database."""

    now: datetime
    listening_since: datetime
    """Before that it could not hear anybody, so nobody was silent."""
    prices_checked_on: date
    mismatch_count: int | None = None
    """Rollup keys that differed from their records at the last check; None before the first."""


def sweep(connection: Connection, receivers: Sequence[Receiver], seen: Seen) -> int | None:
    """Judge everything, and return how many alerts that made; None where another service does it now."""

    def once() -> int | None:
        with connection.transaction():
            if not try_lock_transaction(connection, Lock.ALERTS):
                return None
            connection.execute(statement("judge_is_there"))
            since = (seen.now.astimezone(UTC) - timedelta(days=1)).date()
            tenants = [name for (name,) in connection.execute(statement("tenants_of_late"), {"since": since})]
            made = judge_spending(connection, tenants, receivers, now=seen.now, workflows_since=_WORKFLOWS_SINCE)
            for alert in (
                *_spikes(connection, tenants, receivers, seen.now),
                *_silences(connection, receivers, seen),
                *_old_prices(receivers, seen),
                *_integrity(seen),
                *_too_old(connection, receivers, seen.now),
            ):
                made += make_alert(connection, alert, receivers)
            for name in ("forget_services", "forget_alerts"):
                connection.execute(statement(name), {"now": seen.now})
            return made

    return again(once)


def _spikes(
    connection: Connection, tenants: Sequence[str], receivers: Sequence[Receiver], now: datetime
) -> list[Alert]:
    """Return the spikes of the hour that runs and of the one before, each against the same hour of seven days."""
    minima = {each.spike_min_usd for each in receivers if "spike" in each.kinds}
    if not minima:
        return []
    this_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [this_hour, this_hour - timedelta(hours=1)]
    all_hours = [hour - timedelta(days=days) for hour in hours for days in range(_DAYS_BEFORE + 1)]
    spent: dict[str, dict[datetime, Decimal]] = defaultdict(dict)
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(statement("hours_of_spend"), {"hours": all_hours, "tenants": list(tenants)}):
            spent[row["tenant_id"]][row["hour"]] = row["cost_usd"]
    alerts: list[Alert] = []
    for tenant, by_hour in spent.items():
        for hour in hours:
            before = [by_hour[at] for at in (hour - timedelta(days=days) for days in range(1, 8)) if at in by_hour]
            alerts += [
                _spike_alert(tenant, hour, by_hour[hour], before, min_usd)
                for min_usd in sorted(minima)
                if hour in by_hour and is_spike(by_hour[hour], before, min_usd)
            ]
    return alerts


def _spike_alert(
    tenant: str, hour: datetime, hour_usd: Decimal, before_usd: Sequence[Decimal], min_usd: Decimal
) -> Alert:
    return Alert(
        kind="spike",
        tenant=tenant,
        scope="",
        window_start=hour,
        threshold=min_usd,
        facts={
            "tenant": tenant,
            "hour": hour.isoformat(),
            "spent_usd": to_plain(hour_usd),
            "same_hour_before_usd": [to_plain(each) for each in before_usd],
        },
    )


def _silences(connection: Connection, receivers: Sequence[Receiver], seen: Seen) -> list[Alert]:
    alerts: list[Alert] = []
    for silence in sorted({each.silence for each in receivers if "silence" in each.kinds}):
        parameters = {"silence": silence, "now": seen.now, "listening_since": seen.listening_since}
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(statement("silent_services"), parameters).fetchall()
        minutes = silence // timedelta(minutes=1)
        alerts += [_silence_alert(row, minutes) for row in rows]
    return alerts


def _silence_alert(row: dict[str, Any], minutes: int) -> Alert:
    return Alert(
        kind="silence",
        tenant=row["tenant_id"],
        scope=row["service_name"],
        window_start=row["last_seen_at"],
        threshold=Decimal(minutes),
        facts={
            "tenant": row["tenant_id"],
            "service": row["service_name"],
            "last_seen_at": row["last_seen_at"].isoformat(),
            "first_seen_at": row["first_seen_at"].isoformat(),
            "silence_minutes": minutes,
        },
    )


def _old_prices(receivers: Sequence[Receiver], seen: Seen) -> list[Alert]:
    age_days = (seen.now.astimezone(UTC).date() - seen.prices_checked_on).days
    return [
        Alert(
            kind="prices_old",
            tenant=NO_TENANT,
            scope="",
            window_start=datetime.combine(seen.prices_checked_on, time(0), UTC),
            threshold=Decimal(days),
            facts={"checked_on": seen.prices_checked_on.isoformat(), "age_days": age_days, "prices_old_days": days},
        )
        for days in sorted({each.prices_old.days for each in receivers if "prices_old" in each.kinds})
        if age_days > days
    ]


def _integrity(seen: Seen) -> list[Alert]:
    """Return at most one a day: the ledger and its rollups disagree."""
    if not seen.mismatch_count:
        return []
    day = seen.now.astimezone(UTC).date()
    return [
        Alert(
            kind="integrity",
            tenant=NO_TENANT,
            scope="",
            window_start=datetime.combine(day, time(0), UTC),
            facts={"mismatch_count": seen.mismatch_count, "day": day.isoformat()},
        )
    ]


def _too_old(connection: Connection, receivers: Sequence[Receiver], now: datetime) -> list[Alert]:
    """Return at most one a day: spans came whose records had been dropped."""
    day = now.astimezone(UTC).date()
    since = datetime.combine(day, time(0), UTC)
    if not any("too_old" in each.kinds for each in receivers) or not (count := count_too_old(connection, since)):
        return []
    facts = {"too_old_count": count, "day": day.isoformat()}
    return [Alert(kind="too_old", tenant=NO_TENANT, scope="", window_start=since, facts=facts)]
