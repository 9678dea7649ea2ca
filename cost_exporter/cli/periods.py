"""`callfare period close|reopen|list`: months whose figures change only by corrections."""

import re
from datetime import date
from typing import Annotated, Any

import typer

from cost_exporter.cli.database import open_connection
from cost_exporter.cli.options import AsJson, OnlyTenant
from cost_exporter.cli.output import print_json, print_line, print_notice, print_sheet
from cost_exporter.domain.money import total
from cost_exporter.report.amounts import cost_text, jsonable, time_text, total_text
from cost_exporter.report.forms import Sheet
from cost_exporter.store.ledger.closings import EVERY_TENANT
from cost_exporter.store.periods import close_period, list_periods, reopen_period

__all__ = ["periods"]

periods = typer.Typer(help="Close months: from then on they change only by corrections.", no_args_is_help=True)

TheMonth = Annotated[str, typer.Argument(metavar="YYYY-MM", help="A calendar month (UTC).")]
Whose = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only for this tenant. [default: all]")]


@periods.command()
def close(month: TheMonth, *, tenant: Whose = None, as_json: AsJson = False) -> None:
    """Close a month that is over. What changes in it afterwards is billed as corrections in a later month."""
    first, name = _month_of(month), _tenant_of(tenant)
    with open_connection() as connection:
        closed = close_period(connection, first, name)
        rows = [row for row in list_periods(connection) if row["closing_id"] == closed.closing_id]
    if closed.open_workflow_count:
        print_notice(
            f"{closed.open_workflow_count} workflows of {month} are not final yet; what they change becomes corrections"
        )
    if as_json:
        print_json({"periods": [jsonable(row) for row in rows], "open_workflow_count": closed.open_workflow_count})
    else:
        print_line(f"{month} is closed for {name or 'every tenant'}: {_total(rows)}")


@periods.command()
def reopen(month: TheMonth, *, tenant: Whose = None, as_json: AsJson = False) -> None:
    """Open a closed month again. Its corrections become part of it; refused once they are in a closed month."""
    first, name = _month_of(month), _tenant_of(tenant)
    with open_connection() as connection:
        closing_id = reopen_period(connection, first, name)
    if as_json:
        print_json({"closing_id": closing_id, "month": month, "tenant_id": name or EVERY_TENANT})
    else:
        print_line(f"{month} is open again for {name or 'every tenant'}")


@periods.command(name="list")
def list_closed(*, tenant: OnlyTenant = None, as_json: AsJson = False) -> None:
    """List closed months with what they cost when they were closed and what corrections have added."""
    with open_connection() as connection:
        rows = list_periods(connection, tenant)
    if as_json:
        print_json({"periods": [jsonable(row) for row in rows]})
    else:
        print_sheet(_sheet(rows))


def _month_of(text: str) -> date:
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text, re.ASCII) or text < "1970":
        raise typer.BadParameter(f"{text!r} is no month; write YYYY-MM")
    return date(int(text[:4]), int(text[5:]), 1)


def _tenant_of(name: str | None) -> str | None:
    """Return the tenant that is named; `*` is every one, as without the option."""
    if name is not None and not name.strip():
        raise typer.BadParameter("--tenant is empty; name a tenant, or leave it out for all")
    return None if name == EVERY_TENANT else name


def _total(rows: list[dict[str, Any]]) -> str:
    known = [row for row in rows if row["tenant_id"] is not None]
    cost_usd = total(row["closed_cost_usd"] for row in known)
    return total_text(cost_usd, sum(row["closed_unpriced_count"] for row in known))


def _sheet(rows: list[dict[str, Any]]) -> Sheet:
    return Sheet(
        title="Closed periods",
        columns=("month", "tenant", "closed at", "reopened at", "at close", "corrections", "corrected by", "now"),
        rows=tuple(_cells(row) for row in rows),
        right_aligned=frozenset({"at close", "corrections", "corrected by", "now"}),
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    reopened = "" if row["reopened_at"] is None else time_text(row["reopened_at"])
    head = (row["month"], row["tenant_id"] or row["closed_for"], time_text(row["closed_at"]), reopened)
    if row["tenant_id"] is None:
        return (*head, "-", "0", "-", "-")
    return (
        *head,
        total_text(row["closed_cost_usd"], row["closed_unpriced_count"]),
        str(row["correction_count"]),
        cost_text(row["correction_usd"]),
        total_text(row["cost_usd"], row["unpriced_count"]),
    )
