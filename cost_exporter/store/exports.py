"""Read a month for files that leave: each priced line, added up by the hour, and what has no cost.

A closed month is read as it was when it was closed; a later one has its corrections. Everything is read from one
snapshot of the database, so that the rows, the unpriced calls and the total belong together.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, Final

from psycopg import sql

from cost_exporter.errors import StoreError
from cost_exporter.store.database.statements import statement
from cost_exporter.store.reading import Period, Reader, Row

__all__ = ["RECONCILED_UNITS", "month_charges", "refuse_purged_month", "unpriced_charges", "usage_by_day"]

RECONCILED_UNITS: Final = (
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "web_searches", "characters"),
    *("audio_seconds", "calls", "messages", "requests"),
)
"""The columns of `usage_by_day` that hold quantities."""


def refuse_purged_month(reader: Reader, month: date, tenant: str | None) -> None:
    """Raise `StoreError` where the lines of some calls of the month are gone."""
    (row,) = reader.ask("purged_in_month", {"month": month, "tenant": tenant}, {})
    if row["is_purged"]:
        raise StoreError(f"calls of {month:%Y-%m} were purged; only sums are left: use --format csv or json")


def month_charges(reader: Reader, month: date, tenant: str | None, *, with_ids: bool) -> Iterator[Row]:
    """Yield the priced lines of a month, by hour and price; corrections last."""
    parameters = {"month": month, "tenant": tenant, "with_ids": with_ids}
    return reader.stream("focus_charges", parameters, _sides())


def unpriced_charges(reader: Reader, month: date, tenant: str | None) -> list[Row]:
    """Return the calls of a month without a cost, or with a part of it, by what they lack."""
    return reader.ask("unpriced_charges", {"month": month, "tenant": tenant}, _sides())


def usage_by_day(reader: Reader, provider: str, period: Period, tenant: str | None) -> list[Row]:
    """Return what the calls of a provider used and cost, by day, model and operation."""
    parameters = {"provider": provider, "since": period.since, "until": period.until, "tenant": tenant}
    return reader.ask("usage_by_day", parameters, {})


def _sides() -> dict[str, Any]:
    return {"sides": sql.SQL(statement("billed_sides"))}
