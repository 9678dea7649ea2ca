"""Retention (`callfare purge`): drop the records of whole months, and keep what they added up to.

Rollups stay. What the dropped records had added to days and hours goes into closing balances first, so that these
can still be checked to the last digit; the header of each trace stays as well, so that a late span is known to
be too old instead of starting a new trace.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import psycopg

from cost_exporter.errors import StoreError, StoreUnavailable
from cost_exporter.store.database.statements import statement

__all__ = ["KeptMonth", "Reasons", "months_before", "purge_before", "remembered_since"]

_AT_ONCE: Final = 10_000
_FORGETTING: Final = (
    # In this order: a call that is moved meanwhile is found in the second table.
    "forget_provider_calls",
    "forget_old_provider_calls",
    "forget_look_alikes",
    "forget_timings",
    "forget_long_spans",
)


class KeptMonth(StoreError):
    """A month that must not be dropped yet, nor any after it."""

    def __init__(self, month: date, reasons: Sequence[str], dropped: Sequence[date]) -> None:
        """Name the month, why it is kept, and the months before it that were dropped."""
        super().__init__(f"{month:%Y-%m} is kept: {'; '.join(reasons)}; or add --force")
        self.month = month
        self.dropped = dropped


def months_before(connection: psycopg.Connection[Any], day: date) -> list[date]:
    """Return the first days of the months of receipt that ended before `day` and still have their records."""
    return [row[0] for row in connection.execute(statement("months_to_purge"), {"limit": day.replace(day=1)})]


def remembered_since(connection: psycopg.Connection[Any]) -> datetime | None:
    """Return the end of the last month that was purged; None where none was.

    What was received since then is recognised when it comes again.
    """
    row = connection.execute(statement("last_purged")).fetchone()
    if row is None or row[0] is None:
        return None
    next_month = (row[0] + timedelta(days=31)).replace(day=1)
    return datetime.combine(next_month, time(0), tzinfo=UTC)


Reasons = Callable[[psycopg.Connection[Any], date], Sequence[str]]


def purge_before(connection: psycopg.Connection[Any], day: date, reasons: Reasons | None = None) -> list[date]:
    """Drop the partitions of all months that ended before `day`, and return them.

    Takes an autocommit connection. Each month goes in one transaction; ingest of newer months goes on. Raises
    `StoreUnavailable` where a month is in use, and `KeptMonth` where there are `reasons` to keep it; the months before
    it are dropped by then.
    """
    months = months_before(connection, day)
    for position, month in enumerate(months):
        try:
            found = _purge(connection, month, reasons)
            if found:
                raise KeptMonth(month, found, months[:position])
        except psycopg.errors.LockNotAvailable as error:
            raise StoreUnavailable(f"the records of {month:%Y-%m} are in use; try again later") from error
        for name in _FORGETTING:
            while connection.execute(statement(name), {"bucket": month, "count": _AT_ONCE}).rowcount:
                pass
    return months


def _purge(connection: psycopg.Connection[Any], month: date, reasons: Reasons | None) -> Sequence[str]:
    """Drop a month, or return why it has to be kept."""
    with connection.transaction():
        connection.execute("set local lock_timeout = '5s'")
        # From here on nobody writes to this month; a writer that waits for us finds it purged.
        connection.execute(statement("lock_month"), {"bucket": month})
        found = reasons(connection, month) if reasons is not None else ()
        if not found:
            for name in ("mark_purged", "close_bucket", "close_hours", "close_spend", "drop_month"):
                connection.execute(statement(name), {"bucket": month})
    return found
