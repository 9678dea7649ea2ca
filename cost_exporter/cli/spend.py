"""`callfare report`: what was spent in a period, by the dimensions asked for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from cost_exporter.cli.database import open_reader
from cost_exporter.cli.focus import FocusOptions, export_focus
from cost_exporter.cli.options import (
    AsJson,
    Month,
    OnlyTenant,
    Round,
    Since,
    Until,
    Wide,
    columns_of,
    period_of,
    places_of,
)
from cost_exporter.cli.output import Form, print_json, print_sheet, print_too_old
from cost_exporter.report.comparison import compared
from cost_exporter.report.spend import COLUMN_BY_DIMENSION, MEASURES, SPEND_FIGURES, TIME_COLUMNS, Spend, spend_of
from cost_exporter.report.workbook import write_workbook
from cost_exporter.store.reading import Period, Reader

__all__ = ["register"]

_DEFAULT_GROUPS = "category,provider,model"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="report")(report)


def report(
    *,
    since: Since = None,
    until: Until = None,
    month: Month = None,
    tenant: OnlyTenant = None,
    group_by: Annotated[
        str, typer.Option(metavar="NAMES", help=f"Comma-separated, of: {', '.join(COLUMN_BY_DIMENSION)}.")
    ] = _DEFAULT_GROUPS,
    form: Annotated[Form, typer.Option("--format", help="Its form; focus: whole months in FOCUS 1.2.")] = Form.TABLE,
    sort: Annotated[str | None, typer.Option(metavar="MEASURE", help=f"Most first, of: {', '.join(MEASURES)}.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="List at most this many groups; the total has all.")] = None,
    compare: Annotated[
        str | None, typer.Option(metavar="previous", help="Beside it, the period of the same length before it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write there: needed by xlsx; focus: FILE.csv or FILE.parquet.")
    ] = None,
    allow_unpriced: Annotated[
        bool, typer.Option("--allow-unpriced", help="focus: exit 0 even if calls have no known cost.")
    ] = False,
    with_ids: Annotated[bool, typer.Option("--with-ids", help="focus: tag users and API keys as well.")] = False,
    rounding: Round = "exact",
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show spend; by default of the last 30 days."""
    if form is Form.FOCUS:
        has_groups = group_by != _DEFAULT_GROUPS or sort is not None or limit is not None or compare is not None
        if as_json or wide or has_groups or rounding != "exact":
            raise typer.BadParameter("--format focus has its own columns and groups; leave out the options for tables")
        is_dated = not (since is None and until is None and month is None)
        period = period_of(since, until, month if is_dated else f"{datetime.now(UTC):%Y-%m}")
        options = FocusOptions(tenant=tenant, output=output, with_ids=with_ids, allow_unpriced=allow_unpriced)
        export_focus(period, options)
        return
    _check_output(form, output, is_focus_only=allow_unpriced or with_ids, as_json=as_json)
    period, columns, places = period_of(since, until, month), columns_of(group_by), places_of(rounding)
    if sort is not None and sort not in MEASURES:
        raise typer.BadParameter(f"--sort {sort!r} is unknown; choose from {', '.join(MEASURES)}")
    before = None if compare is None else _previous(compare, period, columns, is_month=month is not None)

    def spend_in(reader: Reader, period: Period) -> Spend:
        rows = reader.spend(period, columns, tenant)
        return spend_of(rows, since=period.since, until=period.until, columns=columns)

    with open_reader() as reader:
        spend = spend_in(reader, period)
        if before is not None:
            spend = compared(spend, spend_in(reader, before))
        too_old_count = reader.too_old(period) if tenant is None else 0
    spend = spend.ordered(sort, limit)
    if as_json or form is Form.JSON:
        print_json(spend.as_json())
    elif form is Form.CSV:
        print_sheet(spend.rows(), form)
    elif output is not None:
        write_workbook(spend.rows(), output, figures=SPEND_FIGURES)
    else:
        print_sheet(spend.table(places), form, is_wide=wide)
    print_too_old(too_old_count)


def _check_output(form: Form, output: Path | None, *, is_focus_only: bool, as_json: bool) -> None:
    """Refuse what would have no effect: a file for a form that is printed, and options of FOCUS elsewhere."""
    if is_focus_only:
        raise typer.BadParameter("--allow-unpriced and --with-ids are for --format focus")
    is_workbook = form is Form.XLSX and not as_json
    if is_workbook and output is None:
        raise typer.BadParameter("--format xlsx is no text; write --output FILE.xlsx")
    if output is not None and not is_workbook:
        raise typer.BadParameter("--output is for xlsx and focus; redirect the output of the others: > FILE")


def _previous(compare: str, period: Period, columns: tuple[str, ...], *, is_month: bool) -> Period:
    """Return the period before: the month before a month, else as many days as the period has."""
    if compare != "previous":
        raise typer.BadParameter(f"--compare {compare!r} is unknown; write --compare previous")
    if TIME_COLUMNS.intersection(columns):
        raise typer.BadParameter("--compare previous needs groups that both periods have; leave time out of --group-by")
    if is_month:
        return Period(since=(period.since - timedelta(days=1)).replace(day=1), until=period.since)
    return Period(since=period.since - (period.until - period.since), until=period.since)
