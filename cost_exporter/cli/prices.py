"""`callfare prices`: look at the price book, check it, change it, and price usages by it."""

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from cost_exporter.cli.database import connect, open_database
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_error, print_json, print_line, print_notice, print_sheet
from cost_exporter.domain.money import to_plain
from cost_exporter.domain.price import PriceBook
from cost_exporter.domain.price_match import nearest
from cost_exporter.domain.price_row import PriceRow
from cost_exporter.domain.provider import canonical_provider
from cost_exporter.errors import CallfareError
from cost_exporter.prices import load_book
from cost_exporter.prices.diff import Change, diff_rows
from cost_exporter.prices.genai import import_genai, library_version
from cost_exporter.prices.lint import Finding, lint_book, lint_rows
from cost_exporter.prices.loader import shipped_snapshot
from cost_exporter.prices.price_file import read_price_file
from cost_exporter.prices.quote_line import QuoteDesk
from cost_exporter.prices.rows_json import row_json
from cost_exporter.prices.snapshot import Snapshot, dump_snapshot
from cost_exporter.report.forms import Sheet
from cost_exporter.settings import load_settings
from cost_exporter.store.migrate import check_schema
from cost_exporter.store.price_books import current_book, latest_snapshot, save_price_file, save_snapshot

__all__ = ["prices"]

EXIT_FOUND_WRONG = 1
_ANY_MODEL = ".+"
"""Rows of vector stores price every index: they answer to any name, and are not what somebody asks for by name."""

prices = typer.Typer(help="The price book: look at it, check it, change it, price by it.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A price file, YAML.")]
Files = Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Price files, YAML.")]
OnlyProvider = Annotated[str | None, typer.Option("--provider", metavar="NAME", help="Only this provider.")]


@prices.command(name="quote")
def quote(
    *, with_explanation: Annotated[bool, typer.Option("--explain", help="Print the arithmetic, not JSON.")] = False
) -> int:
    """Price usages: JSON lines on standard input, one quote a line on standard output. No database needed."""
    desk = QuoteDesk(load_book(load_settings().prices))
    are_all_readable = True
    for line in sys.stdin.buffer:
        answer = desk.answer(line.rstrip(b"\r\n"), now=datetime.now(UTC))
        print_line(answer.explanation if with_explanation else answer.text)
        are_all_readable = are_all_readable and answer.is_readable
    return 0 if are_all_readable else EXIT_FOUND_WRONG


@prices.command(name="list")
def list_prices(
    *,
    provider: OnlyProvider = None,
    book: Annotated[str | None, typer.Option(metavar="NAME", help="Only this book: list, operator, tenant:…")] = None,
    as_json: AsJson = False,
) -> None:
    """List the prices in force, and those to come."""
    with _book_in_force() as in_force:
        rows = [
            row
            for row in in_force.rows
            if (provider is None or row.provider == canonical_provider(provider)) and (book is None or row.book == book)
        ]
        version = in_force.version
    _print_rows(f"Price book {version}", rows, as_json=as_json)


@prices.command(name="show")
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, as calls state it.")],
    *,
    at: Annotated[str | None, typer.Option(metavar="DATE", help="The prices of this time, UTC. [default: now]")] = None,
    provider: OnlyProvider = None,
    as_json: AsJson = False,
) -> int:
    """Show what a model costs at a time, at every provider that has it, overrides first."""
    at_unix_ns = _unix_ns(at)
    with _book_in_force() as book:
        wanted = sorted(book.providers) if provider is None else [canonical_provider(provider)]
        rows = [row for name in wanted for row in _rows_of(book, name, model, at_unix_ns)]
        if provider is None:
            rows = [row for row in rows if row.model != _ANY_MODEL]
        known = [name for one in wanted if one in book.providers for name in book.catalogue(one).models]
    if not rows:
        near = nearest(model.lower(), known)
        print_error(f"no price for {model}{f'; did you mean {near}?' if near else ''}")
        return EXIT_FOUND_WRONG
    _print_rows(f"{model}, {at or 'now'}", rows, as_json=as_json)
    return 0


@prices.command(name="lint")
def lint(paths: Files = None, *, as_json: AsJson = False) -> int:
    """Look for prices that are probably wrong, in files or in the whole book. Exits 1 if there are any."""
    if paths:
        given = [read_price_file(path) for path in paths]
        findings = lint_rows(load_book(paths), [row for file in given for row in file.rows])
    else:
        with _book_in_force() as book:
            findings = lint_book(book)
    if as_json:
        print_json([finding.as_json() for finding in findings])
    for finding in () if as_json else findings:
        print_line(_finding_text(finding))
    if not findings and not as_json:
        print_line("no findings")
    return EXIT_FOUND_WRONG if findings else 0


@prices.command(name="diff")
def diff(
    path: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A price file, YAML.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what loading a file would change; without one, what `callfare prices import` would change."""
    if path is not None:
        with _book_in_force() as book:
            before = {row.supersede_key: row for row in book.rows}
        rows = read_price_file(path).rows
        changes = diff_rows([before[row.supersede_key] for row in rows if row.supersede_key in before], rows)
    else:
        with _database_or_none() as connection:
            imported = (latest_snapshot(connection) if connection else None) or shipped_snapshot()
        changes = diff_rows(_snapshot_rows(imported), _snapshot_rows(Snapshot(_new_snapshot())))
    _print_changes(changes, as_json=as_json)


@prices.command(name="import")
def import_prices(
    *,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the import to a file instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import the list prices of the installed genai-prices as a new version of the book."""
    text = _new_snapshot()
    if to is not None:
        _write(to, text)
        if as_json:
            print_json({"written_to": str(to)})
        else:
            print_line(f"written to {to}")
        return
    with _database() as connection:
        version_id = save_snapshot(connection, text)
    if as_json:
        print_json({"version_id": version_id, "is_new": version_id is not None})
    elif version_id is None:
        print_line("nothing changed since the last import")
    else:
        print_line(f"imported genai-prices {library_version()} as version {version_id}")


@prices.command(name="load")
def load(path: File, *, as_json: AsJson = False) -> None:
    """Load a price file into the database. A running service uses it within a second."""
    file = read_price_file(path)
    findings = lint_rows(load_book([path]), file.rows)
    with _database() as connection:
        version_id = save_price_file(connection, file)
    if as_json:
        body = {"version_id": version_id, "row_count": len(file.rows), "findings": [one.as_json() for one in findings]}
        print_json(body)
        return
    for finding in findings:
        print_notice(_finding_text(finding))
    print_line(f"loaded {len(file.rows)} rows, {len(file.factors)} factors as version {version_id}")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CallfareError(f"{path} cannot be written: {error.strerror}; choose another file") from None


@contextmanager
def _database() -> Generator[psycopg.Connection[tuple[object, ...]]]:
    with open_database() as url, connect(url, autocommit=False) as connection:
        check_schema(connection)
        yield connection


@contextmanager
def _database_or_none() -> Generator[psycopg.Connection[tuple[object, ...]] | None]:
    """Lend a connection; None where there is no database yet, which is no error for looking at prices."""
    settings = load_settings()
    if settings.database_url is None and not (settings.data_dir / "postgres" / "PG_VERSION").exists():
        yield None
        return
    with _database() as connection:
        yield connection


@contextmanager
def _book_in_force() -> Generator[PriceBook]:
    paths = load_settings().prices
    with _database_or_none() as connection:
        yield load_book(paths) if connection is None else current_book(connection, paths)


def _new_snapshot() -> str:
    today = datetime.now(UTC).date().isoformat()
    return dump_snapshot(import_genai(), origin=f"genai-prices {library_version()}", imported_on=today)


def _snapshot_rows(snapshot: Snapshot) -> list[PriceRow]:
    return [row for provider in snapshot.providers for row in snapshot.rows(provider)]


def _rows_of(book: PriceBook, provider: str, model: str, at_unix_ns: int) -> list[PriceRow]:
    """Return the rows valid at a time, those of overrides first, then curated, then imported."""
    found = [
        one.row
        for one in book.catalogue(provider).candidates(provider, model)
        if one.valid_from_unix_ns <= at_unix_ns < one.valid_to_unix_ns
    ]
    return sorted(found, key=lambda row: (row.book == "list", row.is_imported, row.book, row.unit, row.conditions_key))


def _unix_ns(text: str | None) -> int:
    if text is None:
        return int(datetime.now(UTC).timestamp()) * 10**9
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"--at {text!r} is no date; write YYYY-MM-DD") from None
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()) * 10**9


def _print_rows(title: str, rows: Sequence[PriceRow], *, as_json: bool) -> None:
    if as_json:
        print_json([row_json(row) for row in rows])
        return
    columns = (
        "book",
        "provider",
        "model",
        "unit",
        "price",
        "per",
        "conditions",
        "valid_from",
        "valid_to",
        "confidence",
    )
    print_sheet(Sheet(title=title, columns=columns, rows=tuple(_cells(row) for row in rows)))


def _cells(row: PriceRow) -> tuple[str, ...]:
    said = row_json(row)
    model = row.model if row.match == "exact" else f"{row.match}: {row.model}"
    return (
        *(f"{row.book} (imported)" if row.is_imported else row.book, row.provider, model, row.unit),
        *(f"${to_plain(row.price_usd)}", to_plain(row.per), row.conditions_key),
        *(said["valid_from"] or "", said["valid_to"] or "", row.confidence),
    )


def _print_changes(changes: Sequence[Change], *, as_json: bool) -> None:
    if as_json:
        print_json([change.as_json() for change in changes])
        return
    for change in changes:
        print_line(f"{change.kind}: {change.price_id}  {change.before or '-'} -> {change.after or '-'}")
    print_line(f"{len(changes)} changes")


def _finding_text(finding: Finding) -> str:
    return f"{finding.severity}: {finding.code}: {finding.text}"
