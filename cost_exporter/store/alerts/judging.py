"""What is worth an alert as soon as it is committed: budgets, usage without a price, expensive workflows.

    marks      who spent: written by the transaction that stored the calls, deleted by the one that judges
    headroom   leaves out the accounts to which nothing can have happened: nearly all of them
    crossings  read without a lock
    lock       the accounts of those, in the order of their ids, and read again by a later statement
    make       the alert, with its deliveries

All of it is one transaction, so a crash leaves the marks for the next one, and no alert is sent that is not
committed. Spans that are not committed are not seen.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from psycopg.rows import dict_row

from cost_exporter.domain.alerting import Alert, AlertKind, Receiver
from cost_exporter.domain.money import to_plain
from cost_exporter.store.alerts.headroom import Headroom, SeenAccount
from cost_exporter.store.alerts.making import Connection, make_alert
from cost_exporter.store.budgets.reserving import again
from cost_exporter.store.database.statements import statement

__all__ = ["judge_marked", "judge_spending"]

Row = dict[str, Any]
_LATE: Final = timedelta(minutes=5)
"""Spans of a window that is over may come for this long and still be judged."""
_UNPRICED_A_DAY_MAX: Final = 50
"""Alerts of one tenant in a day: the names of models are chosen by senders of spans."""
_WORKFLOWS_SINCE: Final = timedelta(minutes=10)


def judge_marked(
    connection: Connection, receivers: Sequence[Receiver], *, now: datetime, headroom: Headroom | None = None
) -> int:
    """Judge the tenants that spent since the last time, and return how many alerts that made.

    `headroom` is what this judge remembers, so that it leaves out budgets to which nothing can have happened.
    """

    def once() -> int:
        try:
            return judged()
        except BaseException:
            if headroom is not None:
                headroom.forget()  # what was looked at is not judged
            raise

    def judged() -> int:
        with connection.transaction():
            marks: list[tuple[str, str | None]] = connection.execute(statement("take_marks")).fetchall()
            if not marks:
                return 0
            _see_services(connection, marks, now)
            tenants = sorted({tenant for tenant, _ in marks})
            return judge_spending(connection, tenants, receivers, now=now, headroom=headroom)

    return again(once)


def judge_spending(
    connection: Connection,
    tenants: Sequence[str],
    receivers: Sequence[Receiver],
    *,
    now: datetime,
    workflows_since: timedelta = _WORKFLOWS_SINCE,
    headroom: Headroom | None = None,
) -> int:
    """Judge what tenants spent, within a transaction, and return how many alerts that made."""
    made = 0
    if _anybody_gets("budget", receivers):
        made += _judge_budgets(connection, tenants, receivers, now, headroom or Headroom())
    if _anybody_gets("unpriced", receivers):
        made += _judge_unpriced(connection, tenants, receivers, now)
    for over_usd in sorted({each.over_usd for each in receivers if each.over_usd is not None}):
        parameters = {"tenants": list(tenants), "over_usd": over_usd, "since": now - workflows_since}
        for row in _rows(connection, "workflows_over", parameters):
            made += make_alert(connection, _workflow_alert(row, over_usd), receivers)
    return made


def _see_services(connection: Connection, marks: Iterable[tuple[str, str | None]], now: datetime) -> None:
    seen = sorted({(tenant, service) for tenant, service in marks if service is not None})
    if seen:
        tenants, services = [tenant for tenant, _ in seen], [service for _, service in seen]
        connection.execute(statement("see_services"), {"tenant_id": tenants, "service_name": services, "now": now})


def _anybody_gets(kind: AlertKind, receivers: Iterable[Receiver]) -> bool:
    return any(kind in each.kinds for each in receivers)


# --------------------------------------------------------------------------------------------------------- budgets


def _judge_budgets(
    connection: Connection,
    tenants: Sequence[str],
    receivers: Sequence[Receiver],
    now: datetime,
    headroom: Headroom,
) -> int:
    connection.execute(statement("open_accounts_of"), {"tenants": list(tenants)})
    account_ids = _due(connection, tenants, now, headroom)
    crossed = sorted({row["account_id"] for row in _crossed(connection, account_ids, now)})
    if not crossed:
        return 0
    connection.execute(statement("lock_accounts_by_id"), {"account_ids": crossed})
    # Read again: the transaction that held the lock may have made the alert, or raised the limit.
    rows = _crossed(connection, crossed, now)
    return sum(make_alert(connection, _budget_alert(connection, row), receivers) for row in rows)


def _due(connection: Connection, tenants: Sequence[str], now: datetime, headroom: Headroom) -> list[int]:
    """Return the accounts of tenants that may have reached a threshold, and remember how far the others are from it."""
    parameters = {"tenants": list(tenants), "now": now}
    accounts = connection.execute(statement("accounts_of_tenants"), parameters).fetchall()
    if _windows_have_ended(now):
        headroom.forget()
        return [account_id for account_id, _ in accounts]
    headroom.begin((now.astimezone(UTC).date(), connection.execute(statement("version_of_budgets")).fetchone()))
    spent_usd: dict[str, Decimal] = dict(connection.execute(statement("spent_by_tenants"), parameters).fetchall())
    due = headroom.due(accounts, spent_usd, now)
    if due:
        rows = _rows(connection, "distance_to_thresholds", {"account_ids": due, "at": now})
        headroom.learn([SeenAccount(**row) for row in rows], spent_usd)
    return due


def _windows_have_ended(now: datetime) -> bool:
    """Whether late spans of windows that have just ended count: every window ends with an hour."""
    return (now - _LATE).hour != now.hour


def _crossed(connection: Connection, account_ids: Sequence[int], now: datetime) -> list[Row]:
    """Return the thresholds that are reached, in the windows that run and in those that have just ended."""
    if not account_ids:
        return []
    parameters = {"account_ids": list(account_ids), "now": now}
    rows = _rows(connection, "crossed_budgets", {**parameters, "at": now})
    if _windows_have_ended(now):
        rows += [
            row for row in _rows(connection, "crossed_budgets", {**parameters, "at": now - _LATE}) if _is_over(row, now)
        ]
    return rows


def _is_over(row: Row, now: datetime) -> bool:
    return row["resets_at"] is not None and row["resets_at"] <= now


def _budget_alert(connection: Connection, row: Row) -> Alert:
    limit_usd: Decimal = row["limit_usd"]
    return Alert(
        kind="budget",
        tenant=row["tenant_id"],
        scope=row["name"],
        window_start=row["window_start"],
        threshold=row["threshold"],
        limit_usd=limit_usd,
        facts={
            "budget": row["name"],
            "tenant": row["tenant_id"],
            **{name: row[name] for name in ("api_key_id", "user_id", "category", "provider", "model")},
            "window": row["time_window"],
            "window_start": row["window_start"].isoformat(),
            "resets_at": None if row["resets_at"] is None else row["resets_at"].isoformat(),
            "threshold_percent": to_plain(row["threshold"]),
            "limit_usd": to_plain(limit_usd),
            "spent_usd": to_plain(row["spent_usd"]),
            "reserved_usd": to_plain(row["reserved_usd"]),
            "unpriced_count": row["unpriced_count"],
            "hard": {"hard": True, "soft": False}.get(row["enforcement"], "shadow"),
            "most_by": [
                {"kind": each["kind"], "name": each["value"], "cost_usd": to_plain(each["cost_usd"])}
                for each in _top(connection, row)
            ],
        },
    )


def _top(connection: Connection, row: Row) -> list[Row]:
    """Return who spent most of what the budget counts. A budget by user or key says it itself."""
    if row["user_id"] is not None or row["api_key_id"] is not None:
        return []
    parameters = {
        "tenant": row["tenant_id"],
        "since": row["window_start"],
        "until": row["resets_at"],
        "grain": "hour" if row["time_window"] == "hour" else "day",
        **{name: row[name] for name in ("category", "provider", "model")},
    }
    if row["category"] is None and row["provider"] is None and row["model"] is None:
        return _rows(connection, "top_spenders", parameters)
    return _rows(connection, "top_models_of_hour" if row["time_window"] == "hour" else "top_models_of_days", parameters)


# ------------------------------------------------------------------------------------ no price, and too expensive


def _judge_unpriced(
    connection: Connection, tenants: Sequence[str], receivers: Sequence[Receiver], now: datetime
) -> int:
    parameters = {"tenants": list(tenants), "since": (now.astimezone(UTC) - timedelta(days=1)).date()}
    made = 0
    for row in _rows(connection, "unpriced_usage", parameters):
        alert = _unpriced_alert(row)
        if _count(connection, alert) < _UNPRICED_A_DAY_MAX:
            made += make_alert(connection, alert, receivers)
    return made


def _count(connection: Connection, alert: Alert) -> int:
    parameters = {"kind": alert.kind, "tenant": alert.tenant, "window_start": alert.window_start}
    row = connection.execute(statement("count_alerts"), parameters).fetchone()
    assert row is not None
    return row[0]


def _unpriced_alert(row: Row) -> Alert:
    return Alert(
        kind="unpriced",
        tenant=row["tenant_id"],
        scope=f"{row['provider']}/{row['model']}",
        window_start=datetime.combine(row["day"], time(0), UTC),
        facts={
            "tenant": row["tenant_id"],
            "provider": row["provider"],
            "model": row["model"],
            "day": row["day"].isoformat(),
            "unpriced_count": row["unpriced_count"],
        },
    )


def _workflow_alert(row: Row, over_usd: Decimal) -> Alert:
    trace_id: str = row["trace_id"].hex
    started_at: datetime | None = row["started_at"]
    return Alert(
        kind="workflow_over",
        tenant=row["tenant_id"],
        scope=trace_id,
        window_start=datetime.fromtimestamp(0, UTC),
        threshold=over_usd,
        facts={
            "tenant": row["tenant_id"],
            "trace_id": trace_id,
            "workflow_id": row["workflow_id"],
            "workflow_name": row["workflow_name"],
            "started_at": None if started_at is None else started_at.isoformat(),
            "cost_usd": to_plain(row["cost_usd"]),
            "over_usd": to_plain(over_usd),
            "unpriced_count": row["unpriced_count"],
        },
    )


def _rows(connection: Connection, name: str, parameters: dict[str, Any]) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), parameters).fetchall()
