"""`callfare unread`: usage that nothing reads, and spans that look like calls but report none, by emitter."""

from collections.abc import Sequence
from datetime import UTC
from typing import Annotated, Any

import typer

from cost_exporter.cli.database import open_reader
from cost_exporter.cli.options import AsJson, OnlyTenant, Since, Until, period_of
from cost_exporter.cli.output import print_json, print_line, print_sheet
from cost_exporter.report.amounts import jsonable
from cost_exporter.report.forms import Sheet

__all__ = ["register", "unread_sheet"]

_COLUMNS = ("scope", "kind", "attributes", "records", "last_seen_at")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unread)


def unread(
    *,
    since: Since = None,
    until: Until = None,
    tenant: OnlyTenant = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List usage-like attributes and call-like spans that were not understood (by default of the last 30 days)."""
    with open_reader() as reader:
        found = reader.unread(period_of(since, until), count=count, tenant=tenant)
    if as_json:
        print_json({"unread": [jsonable(row) for row in found]})
    elif found:
        print_sheet(unread_sheet(found))
    else:
        print_line("All attributes that look like usage were read.")


def unread_sheet(rows: Sequence[dict[str, Any]]) -> Sheet:
    """Return what was not understood, the most frequent first."""
    return Sheet(
        title="Not understood",
        columns=_COLUMNS,
        rows=tuple(
            (
                row["scope"] or "-",
                row["kind"],
                row["attributes"],
                str(row["record_count"]),
                row["last_seen_at"].astimezone(UTC).strftime("%Y-%m-%d %H:%MZ"),  # short: the names need the width
            )
            for row in rows
        ),
        right_aligned=frozenset({"records"}),
    )
