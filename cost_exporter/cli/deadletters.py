"""`callfare deadletter list|replay`: spans that could not be kept as records, held until they can."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Annotated

import psycopg
import typer
from psycopg.rows import TupleRow

from cost_exporter.assembly import ingest_options, price_by
from cost_exporter.cli.database import connect, open_database, open_reader
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_json, print_line, print_sheet
from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import CallfareError
from cost_exporter.receive.books import RefreshedBooks
from cost_exporter.receive.decoding.decode import SenderIdentity
from cost_exporter.receive.intake import LocalIntake
from cost_exporter.receive.observed import Unobserved
from cost_exporter.report.amounts import jsonable, short_time_text
from cost_exporter.report.forms import Fold, Sheet
from cost_exporter.settings import Settings, load_config, load_settings
from cost_exporter.store.dead_letters import Replayed, WaitingLetter, replay

__all__ = ["deadletters"]

_EXIT_FOUND_WRONG = 1
_FOLDS = (
    Fold(columns=("namespace", "reason", "detail"), into="reason", separator="\n"),
    Fold(columns=("trace_id", "span_id"), into="trace_id / span_id", separator="\n"),
    Fold(columns=("received_at", "replayed_at"), into="received_at", separator="\n", words=("", " replayed")),
    Fold(columns=("received_at", "trace_id / span_id"), into="received_at", separator="\n"),
)
_COLUMNS = ("dead_letter_id", "received_at", "namespace", "reason", "detail", "trace_id", "span_id", "replayed_at")

OnlyIds = Annotated[
    list[int] | None,
    typer.Argument(metavar="ID", min=1, max=2**63 - 1, help="Only these. [default: all waiting]"),
]

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
    print_sheet(
        Sheet(
            title="Dead letters (times are UTC)",
            columns=("id", *_COLUMNS[1:]),
            rows=rows,
            unbroken=frozenset({"id", "received_at", "replayed_at", "trace_id", "span_id"}),
            folds=_FOLDS,
        )
    )


@deadletters.command(name="replay")
def replay_letters(
    ids: OnlyIds = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Send dead letters through the pipeline again. Exits 1 if one of them could still not be stored."""
    settings = load_settings()
    with open_database(settings) as url, connect(url) as connection:
        found = list(_replayed(connection, url, settings, ids or None))
    missing = set(ids or ()) - {each.dead_letter_id for each in found}
    if as_json:
        replayed = [{"dead_letter_id": each.dead_letter_id, "error": each.error or None} for each in found]
        print_json({"replayed": replayed})
    else:
        for each in found:
            print_line(f"{each.dead_letter_id}: {each.error or 'stored'}")
        print_line(f"{sum(not each.error for each in found)} of {len(found)} are stored now")
    if missing:
        raise CallfareError(
            f"no dead letter {', '.join(map(str, sorted(missing)))} waits for replay; see `callfare deadletter list`"
        )
    if any(each.error for each in found):
        raise typer.Exit(_EXIT_FOUND_WRONG)


def _replayed(
    connection: psycopg.Connection[TupleRow], url: str, settings: Settings, ids: list[int] | None
) -> Iterator[Replayed]:
    """Yield what became of each letter, stored in the way of the service."""
    options = ingest_options(settings, load_config(settings.config), url)
    with (
        closing(RefreshedBooks(url, settings.prices)) as books,
        closing(
            LocalIntake(options, price_by(lambda: books.book), Unobserved(), writers=1, before=books.refresh)
        ) as intake,
    ):

        def take_again(letter: WaitingLetter) -> Receipt:
            sender = SenderIdentity(namespace=letter.namespace, tenant_is_trusted=letter.tenant_is_trusted)
            return intake.take_again(letter.payload, sender, received_at_unix_ns=letter.received_at_unix_ns)

        yield from replay(connection, take_again, intake.store, ids)


def _cell(content: object) -> str:
    if isinstance(content, datetime):
        return short_time_text(content)
    return "" if content is None else str(jsonable(content))
