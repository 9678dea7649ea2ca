"""`callfare query`: SQL over exported files. Imports no database driver: a question takes less than that."""

from typing import Annotated

import typer

from cost_exporter.cli.output import Form, print_json, print_sheet
from cost_exporter.lake.place import Place, place_of
from cost_exporter.lake.query import query as ask
from cost_exporter.report.amounts import jsonable

__all__ = ["register"]

From = Annotated[
    str | None, typer.Option("--from", metavar="DIR|s3://…", help="What to read. [default: CALLFARE_EXPORT_TO]")
]
Sql = Annotated[str, typer.Argument(metavar="SQL", help="A query in DuckDB's SQL; the table is called calls.")]
Format = Annotated[Form, typer.Option("--format", help="table, csv or json.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(query)


def query(sql: Sql, *, place: From = None, form: Format = Form.TABLE) -> None:
    """Ask exported files by SQL. Only files that a manifest names are read, and nothing else can be."""
    if form not in {Form.TABLE, Form.CSV, Form.JSON}:
        raise typer.BadParameter(f"--format {form.value} is not for queries; choose table, csv or json")
    found = ask(_place(place), sql)
    if form is Form.JSON:
        print_json(jsonable(found.rows()))
    else:
        print_sheet(found.sheet(unknown="" if form is Form.CSV else "-"), form, is_wide=True)


def _place(location: str | None) -> Place:
    if location is None:
        from cost_exporter.settings import load_settings  # noqa: PLC0415 - half a second that a named place need not take

        location = load_settings().export_to
    return place_of(location, "--from")
