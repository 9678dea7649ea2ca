"""`callfare deadletter list|replay`: spans that could not be kept as records, held until they can."""

from typing import Annotated

import typer

from cost_exporter.cli.database import open_reader
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_json, print_sheet
from cost_exporter.report.amounts import jsonable
from cost_exporter.report.forms import Sheet

__all__ = ["deadletters"]

_COLUMNS = ("dead_letter_id", "received_at", "namespace", "reason", "detail", "trace_id", "span_id", "replayed_at")

deadletters = typer.Typer(help="Spans that could not be kept as records.", no_args_is_help=True)


@deadletters.command(name="list")
def list_letters(
    *,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first, without what they hold."""
    with open_reader() as reader:
        found = reader.dead_letters(count=count)
    if as_json:
        print_json({"dead_letters": jsonable(found)})
        return
    rows = tuple(tuple(_cell(letter[name]) for name in _COLUMNS) for letter in found)
    print_sheet(Sheet(title="Dead letters", columns=_COLUMNS, rows=rows))


def _cell(content: object) -> str:
    return "" if content is None else str(jsonable(content))
