"""`callfare prices`: look at the price book, check it, change it, and price usages by it."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_error, print_json, print_json_line, print_line, print_notice, print_sheet
from cost_exporter.cli.price_book import book_in_force
from cost_exporter.cli.price_changes import diff, finding_text, import_prices, load
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.pricing.match import nearest
from cost_exporter.domain.pricing.rows import ALWAYS, FOREVER, PriceRow, instant_text
from cost_exporter.domain.provider import canonical_provider
from cost_exporter.errors import StoreError
from cost_exporter.prices import load_book
from cost_exporter.prices.lint import lint_book, lint_rows
from cost_exporter.prices.price_file import read_price_file
from cost_exporter.prices.quote_line import QuoteDesk
from cost_exporter.prices.rows_json import row_json
from cost_exporter.report.forms import Fold, Sheet
from cost_exporter.report.sheet import without_empty
from cost_exporter.report.unit_price import unit_price_text
from cost_exporter.settings import load_settings

__all__ = ["prices"]

EXIT_FOUND_WRONG = 1
_ANY_MODEL = ".+"
_COLUMNS = ("book", "provider", "model", "unit", "price", "conditions", "valid_from", "valid_to", "confidence")
"""Rows of vector stores price every index: they answer to any name, and are not what somebody asks for by name."""

prices = typer.Typer(help="The price book: look at it, check it, change it, price by it.", no_args_is_help=True)

Files = Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Price files, YAML.")]
OnlyProvider = Annotated[str | None, typer.Option("--provider", metavar="NAME", help="Only this provider.")]


@prices.command(name="quote")
def quote(
    *, with_explanation: Annotated[bool, typer.Option("--explain", help="Print the arithmetic, not JSON.")] = False
) -> int:
    """Price usages: JSON lines on standard input, one quote a line on standard output. Needs no database."""
    desk = QuoteDesk(_book_to_quote_by())
    are_all_readable = True
    for line in sys.stdin.buffer:
        answer = desk.answer(line.rstrip(b"\r\n"), now=datetime.now(UTC))
        if with_explanation:
            print_line(answer.explanation)
        else:
            print_json_line(answer.text)
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
    with book_in_force() as in_force:
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
    with book_in_force() as book:
        wanted = sorted(book.providers) if provider is None else [canonical_provider(provider)]
        rows = [row for name in wanted for row in _rows_of(book, name, model, at_unix_ns)]
        if provider is None:
            rows = [row for row in rows if row.model != _ANY_MODEL]
        why_none = "" if rows else _why_none(book, [one for one in wanted if one in book.providers], model, at)
    if not rows:
        print_error(why_none)
        return EXIT_FOUND_WRONG
    _print_rows(f"{model}, {at or 'now'}", rows, as_json=as_json)
    return 0


@prices.command(name="lint")
def lint(paths: Files = None, *, as_json: AsJson = False) -> int:
    """Look for prices that are probably wrong, in files or in the whole book. Exits 1 if there are any."""
    if paths:
        given = [read_price_file(path) for path in paths]
        findings = lint_rows(load_book(*paths), [row for file in given for row in file.rows])
    else:
        with book_in_force() as book:
            findings = lint_book(book)
    if as_json:
        print_json([finding.as_json() for finding in findings])
    for finding in () if as_json else findings:
        print_line(finding_text(finding))
    if not findings and not as_json:
        print_line("no findings")
    return EXIT_FOUND_WRONG if findings else 0


prices.command(name="diff")(diff)
prices.command(name="import")(import_prices)
prices.command(name="load")(load)


def _book_to_quote_by() -> PriceBook:
    """Return the book in force; if the database does not answer, the one without it, with a notice."""
    try:
        with book_in_force() as book:
            return book
    except StoreError as error:
        print_notice(f"quoting by the shipped prices and CALLFARE_PRICES alone, because {error}")
        return load_book(*load_settings().prices)


def _why_none(book: PriceBook, providers: Sequence[str], model: str, at: str | None) -> str:
    """Say that a model has no price now, and when it has one, or what was perhaps meant."""
    periods = {
        (one.valid_from_unix_ns, one.valid_to_unix_ns, name)
        for name in providers
        for one in book.prices_of(name).candidates(name, model)
        if one.row.model != _ANY_MODEL
    }
    if periods:
        held = "; ".join(f"{_period_text(start, end)} at {name}" for start, end, name in sorted(periods))
        return f"no price for {model} at {at or 'this time'}; it has one {held}: choose another --at"
    near = nearest(model.lower(), [name for one in providers for name in book.prices_of(one).models])
    return f"no price for {model}{f'; did you mean {near}?' if near else ''}"


def _period_text(start: int, end: int) -> str:
    begin = "" if start == ALWAYS else f"from {instant_text(start)} on"
    return " ".join(part for part in (begin, "" if end == FOREVER else f"until {instant_text(end)}") if part)


def _rows_of(book: PriceBook, provider: str, model: str, at_unix_ns: int) -> list[PriceRow]:
    """Return the rows valid at a time, those of overrides first, then curated, then imported."""
    found = [
        one.row
        for one in book.prices_of(provider).candidates(provider, model)
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
    sheet = Sheet(
        title=title,
        columns=_COLUMNS,
        rows=tuple(_cells(row) for row in rows),
        right_aligned=frozenset({"price"}),
        unbroken=frozenset({"unit", "valid_from", "valid_to"}),
        folds=(
            Fold(columns=("provider", "model"), into="model", separator=" "),
            Fold(columns=("valid_from", "valid_to"), into="valid", separator="\n", words=(" on", " end")),
            Fold(columns=("book", "confidence"), into="book", separator="\n"),
            Fold(columns=("unit", "price"), into="price", separator="\n"),
            Fold(columns=("price", "valid"), into="price", separator="\n"),
            Fold(columns=("model", "book"), into="model", separator="\n"),
        ),
    )
    print_sheet(without_empty(sheet, frozenset({"conditions", "valid_from", "valid_to"})))


def _cells(row: PriceRow) -> tuple[str, ...]:
    content = row_json(row)
    model = row.model if row.match == "exact" else f"{row.match}: {row.model}"
    return (
        *(f"{row.book} (imported)" if row.is_imported else row.book, row.provider, model, row.unit),
        *(unit_price_text(row.unit, row.price_usd, row.per), row.conditions_key),
        *(content["valid_from"] or "", content["valid_to"] or "", row.confidence),
    )
