"""Reports that are due: each made once for its period, with a delivery to each who gets it.

They wait and are sent as alerts are. The key of the table makes one report of what several services make at once; the
lock only saves them the work.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from cost_exporter.domain.alerting import NO_TENANT, Alert
from cost_exporter.store.alerts.making import Connection, deliver_to
from cost_exporter.store.database.locks import Lock, try_lock_transaction
from cost_exporter.store.database.statements import statement
from cost_exporter.store.spending import Period, spend_query

__all__ = ["DueReport", "make_report", "spend_rows"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DueReport:
    """A report of a period that is over."""

    name: str
    period: Period
    columns: tuple[str, ...]
    receivers: tuple[str, ...]
    tenant: str | None = None


def make_report(connection: Connection, due: DueReport, facts_of: Callable[[Sequence[Row]], dict[str, Any]]) -> bool:
    """Make a report that is not made yet, and return whether that was done; `facts_of` makes it of the spend."""
    tenant, since = due.tenant or NO_TENANT, due.period.since
    with connection.transaction():
        key = {"scope": due.name, "tenant": tenant, "window_start": since}
        made = connection.execute(statement("report_is_made"), key).fetchone()
        assert made is not None
        if made[0] or not try_lock_transaction(connection, Lock.ALERTS):
            return False
        facts = facts_of(spend_rows(connection, due))
        alert = Alert(kind="report", tenant=tenant, scope=due.name, window_start=since, facts=facts)
        return deliver_to(connection, alert, due.receivers)


def spend_rows(connection: Connection, due: DueReport) -> list[Row]:
    """Return what was spent in the period, by one statement: of one moment."""
    parameters = {"since": due.period.since, "until": due.period.until, "tenant": due.tenant}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(spend_query(due.period, due.columns), parameters).fetchall()
