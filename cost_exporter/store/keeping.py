"""What keeps a month from being dropped: it is in no export, is not closed, or spans of it may still come again.

A span that comes again after its month was dropped is not recognised any more; it is refused as `too_old`, and nobody
is billed for it. So a month is kept for as long as a queue or a spool may send its spans once more.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import psycopg

from cost_exporter.store.database.statements import statement

__all__ = ["Keeping", "count_too_old"]

_TENANTS_NAMED_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """The rules by which months are kept."""

    exported_until_id: int
    """Below this transaction id everything is exported."""
    location: str
    """Where to."""
    resend_days: int
    """For how many days after it was sent a span may come again."""
    today: date

    def reasons(self, connection: psycopg.Connection[Any], month: date) -> list[str]:
        """Return why a month has to be kept; nothing where it may be dropped.

        Of one moment only where the caller keeps writers out of the month.
        """
        found: list[str] = []
        may_drop_on = _after(month) + timedelta(days=self.resend_days)
        if self.today < may_drop_on:
            found.append(f"its spans may come again until {may_drop_on} (CALLFARE_RESEND_DAYS)")
        parameters = {"bucket": month, "until": str(self.exported_until_id)}
        if count := _count(connection, "open_of_month", parameters):
            found.append(f"{count} of its workflows are not final yet")
        if not self.exported_until_id or (count := _count(connection, "unexported_of_month", parameters)):
            found.append(f"{count or 'all'} of its workflows are not in {self.location}: run `callfare export`")
        for unclosed, tenants in connection.execute(statement("unclosed_of_month"), parameters):
            named = ", ".join(tenants[:_TENANTS_NAMED_MAX]) + (" …" if len(tenants) > _TENANTS_NAMED_MAX else "")
            found.append(f"{unclosed:%Y-%m} is open for {named}: run `callfare period close {unclosed:%Y-%m}`")
        return found


def count_too_old(connection: psycopg.Connection[Any], since: datetime) -> int:
    """Return how many spans came since then whose records had been dropped."""
    return _count(connection, "too_old_count", {"since": since, "until": None})


def _count(connection: psycopg.Connection[Any], name: str, parameters: dict[str, Any]) -> int:
    row = connection.execute(statement(name), parameters).fetchone()
    assert row is not None
    return int(row[0])


def _after(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)
