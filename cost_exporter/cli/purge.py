"""`callfare purge`: drop the records of months that are over, and keep their sums."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer
from psycopg import Connection
from psycopg.rows import TupleRow

from cost_exporter.cli.database import open_connection
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_json, print_line
from cost_exporter.settings import load_settings
from cost_exporter.store.keeping import Keeping
from cost_exporter.store.retention import KeptMonth, Reasons, months_before, purge_before

__all__ = ["register"]

Before = Annotated[
    datetime,
    typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Drop what was received in months that ended before it."),
]
ExportedTo = Annotated[
    str | None,
    typer.Option(metavar="DIR|s3://…", help="Where the records must be exported to. [default: CALLFARE_EXPORT_TO]"),
]
Force = Annotated[bool, typer.Option("--force", help="Drop what is in no export, not closed, or may come again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show which months would be dropped.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(purge)


def purge(
    *,
    before: Before,
    exported_to: ExportedTo = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Drop the records of whole months that are over. Reports by day and workflow totals stay as they are.

    Only months that are exported, closed, and so old that none of their spans comes again.
    """
    day = before.date()
    if day > datetime.now(UTC).date():
        raise typer.BadParameter(f"--before {day} is in the future; records of the present are not dropped")
    with open_connection() as connection:
        reasons = _rules(connection, exported_to) if months_before(connection, day) and not force else None
        kept: KeptMonth | None = None
        try:
            months = _droppable(connection, day, reasons) if dry_run else purge_before(connection, day, reasons)
        except KeptMonth as error:
            kept, months = error, list(error.dropped)
    names = [f"{month:%Y-%m}" for month in months]
    if as_json:
        print_json({"months": names, "is_dry_run": dry_run, "kept": None if kept is None else f"{kept.month:%Y-%m}"})
    elif names or kept is None:
        verb = "would drop" if dry_run else "dropped"
        print_line("\n".join(f"{verb} the records of {name}" for name in names) or f"no records before {day:%Y-%m}")
    if kept is not None:
        raise kept


def _rules(connection: Connection[TupleRow], exported_to: str | None) -> Reasons:
    """Return what keeps months. Raises `ExportError` where no place is named, or one that is not whole."""
    from cost_exporter.lake.place import place_of  # noqa: PLC0415 - with --force no Parquet is needed
    from cost_exporter.lake.verifying import require_whole  # noqa: PLC0415

    settings = load_settings()
    place = place_of(exported_to or settings.export_to, "--exported-to")
    target = require_whole(connection, place)
    keeping = Keeping(
        exported_until_id=target.exported_until_id,
        location=place.location,
        resend_days=settings.resend_days,
        today=datetime.now(UTC).date(),
    )
    return keeping.reasons


def _droppable(connection: Connection[TupleRow], day: date, reasons: Reasons | None) -> list[date]:
    months: list[date] = []
    for month in months_before(connection, day):
        found = () if reasons is None else reasons(connection, month)
        if found:
            raise KeptMonth(month, found, months)
        months.append(month)
    return months
