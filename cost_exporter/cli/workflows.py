"""`callfare trace` and `callfare top`: the cost of one workflow by leg, and the most expensive workflows."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

import typer

from cost_exporter.cli.database import open_reader
from cost_exporter.cli.options import (
    AsJson,
    OnlyTenant,
    Round,
    Since,
    Until,
    Wide,
    parse_trace_id,
    period_of,
    places_of,
)
from cost_exporter.cli.output import print_json, print_lines, print_sheet
from cost_exporter.errors import CallfareError
from cost_exporter.report.budgets import budget_lines
from cost_exporter.report.margin import margin_lines
from cost_exporter.report.voice import voice_lines
from cost_exporter.report.workflow import WorkflowReport, top_sheet, trace_json, workflow_json
from cost_exporter.store.reading import Reader

__all__ = ["print_trace", "read_trace", "register"]


class Measure(StrEnum):
    """The measures by which `top` sorts."""

    COST = "cost"
    DURATION = "duration"
    UNPRICED = "unpriced"


_TITLES: Final = {
    Measure.COST: "The most expensive workflows",
    Measure.DURATION: "The longest workflows",
    Measure.UNPRICED: "The workflows with most unpriced calls",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(trace)
    app.command()(top)


def trace(
    trace_id: Annotated[str, typer.Argument(metavar="TRACE_ID", help="32 hex digits, with or without dashes.")],
    *,
    tenant: OnlyTenant = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show every step from the meter to the cost.")] = False,
    rounding: Round = "exact",
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show one workflow by leg: quantity, unit, unit price, cost, status."""
    wanted, places = parse_trace_id(trace_id), places_of(rounding)
    with open_reader() as reader:
        reports = read_trace(reader, wanted, tenant)
        tenants = sorted({str(report.workflow["tenant_id"]) for report in reports})
        budgets = [] if as_json else [row for each in tenants for row in reader.budgets(tenant=each)]
    print_trace(reports, explain=explain, shows_call=True, places=places, is_wide=wide, as_json=as_json)
    print_lines(budget_lines(budgets))


def top(
    *,
    by: Annotated[Measure, typer.Option(help="What to order by.")] = Measure.COST,
    since: Since = None,
    until: Until = None,
    tenant: OnlyTenant = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    rounding: Round = "exact",
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show the most expensive workflows of a period (by default the last 30 days)."""
    period, places = period_of(since, until), places_of(rounding)
    with open_reader() as reader:
        found = reader.top(period, limit=limit, tenant=tenant, by=by.value)
    if as_json:
        print_json({"workflows": [workflow_json(workflow) for workflow in found]})
    else:
        print_sheet(top_sheet(found, _TITLES[by], places), is_wide=wide)


def read_trace(reader: Reader, trace_id: UUID, tenant: str | None = None) -> list[WorkflowReport]:
    """Return the reports on one trace, one a tenant; raises where it is unknown."""
    found = reader.workflows(trace_id, tenant)
    if not found:
        raise CallfareError(f"no workflow {trace_id.hex}; has its span ended, and was it sent to this database?")
    return [
        WorkflowReport.of(
            each, reader.records(trace_id, each["tenant_id"]), reader.voice_call(trace_id, each["tenant_id"])
        )
        for each in found
    ]


def print_trace(
    reports: Sequence[WorkflowReport],
    *,
    explain: bool = False,
    shows_call: bool = False,
    places: int | None = None,
    is_wide: bool = False,
    as_json: bool = False,
) -> None:
    """Print the reports on one trace."""
    if as_json:
        print_json(trace_json(reports))
        return
    for report in reports:
        print_sheet(report.sheet(places), is_wide=is_wide)
        print_lines(margin_lines(report.workflow, report.records, places))
        print_lines(voice_lines(report.call, places) if shows_call and report.call is not None else ())
        print_lines(report.explanation() if explain else ())
