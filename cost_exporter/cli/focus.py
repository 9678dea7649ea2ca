"""`callfare report --format focus`: months as FOCUS 1.2, and beside them the calls without a cost."""

import os
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import typer

from cost_exporter.cli.database import connect, open_database
from cost_exporter.cli.output import print_notice
from cost_exporter.domain.money import CONTEXT, ZERO
from cost_exporter.errors import CallfareError
from cost_exporter.report.amounts import total_text
from cost_exporter.report.focus.files import require_pyarrow, write_csv, write_parquet
from cost_exporter.report.focus.list_prices import ListPrices
from cost_exporter.report.focus.rows import FocusMonth, focus_row
from cost_exporter.settings import load_settings
from cost_exporter.store.database.migrate import check_schema
from cost_exporter.store.exports import month_charges, refuse_purged_month, unpriced_charges
from cost_exporter.store.price_books import book_of_version
from cost_exporter.store.reading import Period, Reader

__all__ = ["FocusOptions", "export_focus"]

Row = dict[str, Any]
_EXIT_FOUND_WRONG: Final = 1
_UNPRICED: Final = "unpriced.csv"
_UNPRICED_COLUMNS: Final = (
    *("tenant_id", "provider", "model", "operation", "status", "units_without_price", "request_count"),
    *("known_cost_usd", "first_started_at", "last_started_at", "is_correction"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusOptions:
    """What is exported, and where to."""

    tenant: str | None
    output: Path | None
    """A file that ends in .csv or .parquet; None is standard output."""
    with_ids: bool
    """Tag users and API keys."""
    allow_unpriced: bool


def export_focus(period: Period, options: FocusOptions) -> None:
    """Write the months of a period. Exits 1 where calls have no cost, unless that is allowed."""
    months = _months_of(period)
    if options.output is not None and options.output.suffix == ".parquet":
        require_pyarrow()
    account = load_settings().billing_account
    written = _Written()
    with open_database() as url, connect(url) as connection, Reader.connect(url) as reader, reader.one_snapshot():
        check_schema(connection)
        for month in months:
            refuse_purged_month(reader, month, options.tenant)
        list_price = ListPrices(lambda version: book_of_version(connection, version))
        periods = [FocusMonth(month=month, billing_account=account, list_price=list_price) for month in months]
        _write_rows(written.counted(_rows(reader, periods, options)), options.output)
        unpriced = [row for month in months for row in unpriced_charges(reader, month, options.tenant)]
    if options.output is not None:
        with _replaced(options.output.with_name(_UNPRICED)) as path, path.open("w", encoding="utf-8") as stream:
            write_csv(unpriced, stream, _UNPRICED_COLUMNS)
    _report(written, unpriced, options)


@dataclass(slots=True)
class _Written:
    """Sums of the rows that went out."""

    row_count: int = 0
    cost_usd: Decimal = field(default=ZERO)

    def counted(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Pass rows on."""
        for row in rows:
            self.row_count += 1
            self.cost_usd = CONTEXT.add(self.cost_usd, row["BilledCost"])
            yield row


def _rows(reader: Reader, periods: Sequence[FocusMonth], options: FocusOptions) -> Iterator[Row]:
    for period in periods:
        for charge in month_charges(reader, period.month, options.tenant, with_ids=options.with_ids):
            yield focus_row(charge, period)


def _months_of(period: Period) -> list[date]:
    """Return the months that a period is made of. Anything else is no billing period."""
    if any(each != datetime(each.year, each.month, 1, tzinfo=UTC) for each in (period.since, period.until)):
        raise typer.BadParameter("--format focus has whole months; write --month YYYY-MM")
    months, month = list[date](), period.since.date()
    while month < period.until.date():
        months.append(month)
        month = (month + timedelta(days=31)).replace(day=1)
    return months


def _write_rows(rows: Iterator[Row], output: Path | None) -> None:
    if output is None:
        write_csv(rows, sys.stdout)
    elif output.suffix == ".parquet":
        with _replaced(output) as path:
            write_parquet(rows, path)
    elif output.suffix == ".csv":
        with _replaced(output) as path, path.open("w", encoding="utf-8") as stream:
            write_csv(rows, stream)
    else:
        raise typer.BadParameter(f"--output {output.name!r} is no FOCUS file; end its name in .csv or .parquet")


@contextmanager
def _replaced(output: Path) -> Generator[Path]:
    """Lend a file beside `output` that takes its place when all is written: half a file would look whole."""
    partial = output.with_name(f".{output.name}.partial")
    try:
        yield partial
        os.replace(partial, output)  # noqa: PTH105 - it is what replaces a file in one step
    except OSError as error:
        raise CallfareError(f"{output} cannot be written ({error.strerror or error}); name another file") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _report(written: _Written, unpriced: Sequence[Row], options: FocusOptions) -> None:
    count = sum(row["request_count"] for row in unpriced)
    where = f"in {_UNPRICED}" if options.output is not None else "not listed: write --output FILE to list them"
    print_notice(f"{written.row_count} rows, {total_text(written.cost_usd, count)}")
    if unpriced:
        print_notice(f"{count} calls have no known cost, or only a part of it; they are {where}")
        if not options.allow_unpriced:
            raise typer.Exit(_EXIT_FOUND_WRONG)
