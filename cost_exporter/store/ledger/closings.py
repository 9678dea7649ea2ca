"""Closed periods, as a writer needs them: which closing a record falls under, if any.

They are read under the shared lock of the periods, which the transaction keeps: nobody closes or reopens one before
it has committed.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from cost_exporter.domain.cost import CostRecord

__all__ = ["EVERY_TENANT", "NO_CLOSINGS", "Closings"]

EVERY_TENANT: Final = "*"
"""In place of a tenant: each one that has no closing of its own."""


class Closings:
    """The closings in force."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """Take rows of `closing_id`, `tenant_id` and `month`."""
        self._ids: dict[tuple[str, date], int] = {(row["tenant_id"], row["month"]): row["closing_id"] for row in rows}
        last = max((month for _, month in self._ids), default=None)
        self._until_unix_ns = 0 if last is None else _end_unix_ns(last)

    def __bool__(self) -> bool:
        """Return whether any period is closed."""
        return bool(self._ids)

    def of(self, record: CostRecord | None) -> int | None:
        """Return the closing that a record falls under, by its tenant and the month of its start (UTC)."""
        if record is None or record.call.started_at_unix_ns >= self._until_unix_ns:
            return None
        started = datetime.fromtimestamp(record.call.started_at_unix_ns // 10**9, UTC)
        month = started.date().replace(day=1)
        own = self._ids.get((record.tenant, month))
        return self._ids.get((EVERY_TENANT, month)) if own is None else own


NO_CLOSINGS: Final = Closings()


def _end_unix_ns(month: date) -> int:
    following = (month + timedelta(days=31)).replace(day=1)
    return int(datetime.combine(following, datetime.min.time(), UTC).timestamp()) * 10**9
