"""`callfare purge`: drop the records of months that are over, and keep their sums."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cost_exporter.cli.database import connect, open_database
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_json, print_line
from cost_exporter.store.database.migrate import check_schema
from cost_exporter.store.retention import months_before, purge_before

__all__ = ["register"]

Before = Annotated[
    datetime,
    typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Drop what was received in months that ended before it."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show which months would be dropped.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(purge)


def purge(*, before: Before, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Drop the records of whole months that are over. Reports by day and workflow totals stay as they are."""
    day = before.date()
    if day > datetime.now(UTC).date():
        raise typer.BadParameter(f"--before {day} is in the future; records of the present are not dropped")
    with open_database() as url, connect(url) as connection:
        check_schema(connection)
        months = months_before(connection, day) if dry_run else purge_before(connection, day)
    names = [f"{month:%Y-%m}" for month in months]
    if as_json:
        print_json({"months": names, "is_dry_run": dry_run})
    else:
        verb = "would drop" if dry_run else "dropped"
        print_line("\n".join(f"{verb} the records of {name}" for name in names) or f"no records before {day:%Y-%m}")
