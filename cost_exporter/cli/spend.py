"""`callfare report`: what was spent in a period, by the dimensions asked for."""

from typing import Annotated

import typer

from cost_exporter.cli.database import open_reader
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
from cost_exporter.cli.output import Form, print_json, print_sheet
from cost_exporter.report.spend import COLUMN_BY_DIMENSION, spend_of

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
    form: Annotated[Form, typer.Option("--format", help="How to print it.")] = Form.TABLE,
    rounding: Round = "exact",
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show spend; by default of the last 30 days."""
    if form is Form.FOCUS:
        raise typer.BadParameter("--format focus does not exist yet; use csv or json")
    period, columns, places = period_of(since, until, month), columns_of(group_by), places_of(rounding)
    with open_reader() as reader:
        rows = reader.spend(period, columns, tenant)
    spend = spend_of(rows, since=period.since, until=period.until, columns=columns)
    if as_json or form is Form.JSON:
        print_json(spend.as_json())
    elif form is Form.CSV:
        print_sheet(spend.rows(), form)
    else:
        print_sheet(spend.table(places), form, is_wide=wide)
