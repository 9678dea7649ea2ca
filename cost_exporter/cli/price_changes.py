"""`callfare prices diff|import|load`: show how the price book would change, and change it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cost_exporter.assembly import price_by
from cost_exporter.cli.database import connect, open_database
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_json, print_line, print_notice, print_sheet
from cost_exporter.cli.price_book import book_in_database, book_in_force, open_prices_if_any
from cost_exporter.domain.money import to_plain
from cost_exporter.domain.pricing.rows import PriceRow
from cost_exporter.errors import CallfareError
from cost_exporter.prices import load_book
from cost_exporter.prices.against import Comparison, compare
from cost_exporter.prices.diff import PriceChange, diff_rows
from cost_exporter.prices.genai import import_genai, library_version
from cost_exporter.prices.lint import LintFinding, lint_rows
from cost_exporter.prices.litellm import installed_list, read_litellm
from cost_exporter.prices.loader import shipped_snapshot, shipped_voice
from cost_exporter.prices.price_file import PriceFile, read_price_file
from cost_exporter.prices.snapshot import SECONDARY, Snapshot, dump_snapshot
from cost_exporter.prices.voice import import_voice, voice_version
from cost_exporter.report.amounts import cost_text
from cost_exporter.report.forms import Sheet
from cost_exporter.store.database.migrate import check_schema
from cost_exporter.store.price_books import latest_snapshot, save_price_file, save_snapshot
from cost_exporter.store.rerate import RerateRunning, RerateTotals, price_unpriced, reserve_rerates

__all__ = ["diff", "finding_text", "import_prices", "load"]


class Against(StrEnum):
    """Lists that the book can be held against."""

    GENAI = "genai"
    VOICE = "voice"
    LITELLM = "litellm"


class Source(StrEnum):
    """Libraries that list prices are imported from."""

    GENAI = "genai"
    VOICE = "voice"


File = Annotated[Path, typer.Argument(metavar="FILE", help="A price file, YAML.")]


def diff(
    path: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A price file, YAML.")] = None,
    *,
    against: Annotated[Against | None, typer.Option(help="Compare the book with another list of prices.")] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="LiteLLM's list; else the installed one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what loading a file would change; without one, what `callfare prices import` would change."""
    if (against is not None and path is not None) or (file is not None and against != Against.LITELLM):
        raise typer.BadParameter("a price file goes alone; --file goes with --against litellm")
    if against is not None:
        _print_comparison(against, _comparison(against, file), as_json=as_json)
        return
    if path is not None:
        with book_in_force() as book:
            before = {row.supersede_key: row for row in book.rows}
        rows = read_price_file(path).rows
        changes = diff_rows([before[row.supersede_key] for row in rows if row.supersede_key in before], rows)
    else:
        with open_prices_if_any() as connection:
            imported = (latest_snapshot(connection) if connection else None) or shipped_snapshot()
        changes = diff_rows(_snapshot_rows(imported), _snapshot_rows(Snapshot(_new_snapshot())))
    _print_changes(changes, as_json=as_json)


def import_prices(
    *,
    source: Annotated[Source, typer.Option("--from", help="The library; voice only into a file.")] = Source.GENAI,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the import to a file instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import the list prices of the installed genai-prices as a new version of the book."""
    if source == Source.VOICE and to is None:
        raise typer.BadParameter("the prices of voice-prices come with callfare; --to FILE writes a new import of them")
    text = _new_snapshot(source)
    if to is not None:
        _write(to, text)
        if as_json:
            print_json({"written_to": str(to)})
        else:
            print_line(f"written to {to}")
        return
    version_id, repriced = _changed_book(text)
    if as_json:
        print_json({"version_id": version_id, "is_new": version_id is not None, "repriced": _repriced_json(repriced)})
    elif version_id is None:
        print_line("nothing changed since the last import")
    else:
        print_line(f"imported genai-prices {library_version()} as version {version_id}")
        print_line(_repriced_text(repriced))


def load(path: File, *, as_json: AsJson = False) -> None:
    """Load a price file into the database, and price what had no price. A running service uses it within a second."""
    file = replace(read_price_file(path), name=str(path.resolve()))
    findings = lint_rows(load_book(path), file.rows)
    version_id, repriced = _changed_book(file)
    if as_json:
        body: dict[str, Any] = {"version_id": version_id, "row_count": len(file.rows)}
        body |= {"findings": [one.as_json() for one in findings], "repriced": _repriced_json(repriced)}
        print_json(body)
        return
    for finding in findings:
        print_notice(finding_text(finding))
    print_line(f"loaded {len(file.rows)} rows, {len(file.factors)} factors as version {version_id}")
    print_line(_repriced_text(repriced))


def finding_text(finding: LintFinding) -> str:
    """Return a finding of lint as one line."""
    return f"{finding.severity}: {finding.code}: {finding.text}"


def _changed_book(content: PriceFile | str) -> tuple[int | None, RerateTotals | None]:
    """Save a price file or an import, and price what had no price by the new book.

    Returns the number of the version (None for an import that is not new) and what was priced again, which is None
    where another re-rating runs just now. While it is reserved here, a running service does not do the same work.
    """
    with open_database() as url:
        with connect(url) as connection:
            check_schema(connection)
        try:
            with reserve_rerates(url) as reserved:
                version_id = _save(url, content)
                with connect(url) as connection:
                    book = book_in_database(connection)
                return version_id, price_unpriced(reserved, price_by(lambda: book), book.version)
        except RerateRunning:
            return _save(url, content), None


def _save(url: str, content: PriceFile | str) -> int | None:
    with connect(url) as connection:
        if isinstance(content, PriceFile):
            return save_price_file(connection, content)
        return save_snapshot(connection, content)


def _repriced_json(repriced: RerateTotals | None) -> dict[str, Any] | None:
    if repriced is None:
        return None
    return {
        "id": repriced.rerate_id,
        "records": repriced.records,
        "before_usd": to_plain(repriced.before_usd),
        "after_usd": to_plain(repriced.after_usd),
    }


def _repriced_text(repriced: RerateTotals | None) -> str:
    """Return what happened to records without a price, and what to do about those that have one."""
    if repriced is None:
        done = "another re-rating is running: a running service prices what has no price after it"
    elif repriced.records:
        change = f"{cost_text(repriced.before_usd)} → {cost_text(repriced.after_usd)}"
        done = f"re-priced {repriced.records} records that had no price or only part of one: {change}"
        done += f" (re-rating {repriced.rerate_id}; `callfare rerate --undo {repriced.rerate_id}` puts it back)"
    else:
        done = "re-priced no record: the new prices apply to none that lacks one"
    return f"{done}; priced records keep their price until `callfare rerate --since DATE --until DATE --apply`"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CallfareError(f"{path} cannot be written: {error.strerror}; choose another file") from None


def _comparison(against: Against, file: Path | None) -> Comparison:
    with book_in_force() as book, open_prices_if_any() as connection:
        imported = (latest_snapshot(connection) if connection else None) or shipped_snapshot()
    match against:
        case Against.GENAI:
            rows = _snapshot_rows(imported)
        case Against.VOICE:
            rows = _snapshot_rows(shipped_voice())
        case Against.LITELLM:
            rows = read_litellm(file or installed_list())
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)  # outside everybody's peak hours
    mode = "stream" if against == Against.VOICE else ""
    return compare(book, rows, at_unix_ns=int(noon.timestamp()) * 10**9, transcription_mode=mode)


def _print_comparison(against: Against, found: Comparison, *, as_json: bool) -> None:
    counts = {"equal_count": found.equal_count, "unknown_here_count": found.unknown_here_count}
    disagreements = [one.as_json() for one in found.disagreements]
    if as_json:
        print_json({"against": against.value, "disagreements": disagreements, **counts})
        return
    columns = ("provider", "model", "unit", "conditions", "ours", "checked", "theirs", "checked there")
    rows = tuple(
        (
            *(one["provider"], one["model"], one["unit"], "&".join(f"{n}={w}" for n, w in one["conditions"].items())),
            *(f"${one['ours']}", one["ours_checked"] or "?", f"${one['theirs']}", one["theirs_checked"] or "?"),
        )
        for one in disagreements
    )
    print_sheet(
        Sheet(
            title=f"Prices that differ from {against.value}, USD for 1,000,000",
            columns=columns,
            rows=rows,
            right_aligned=frozenset({"ours", "theirs"}),
            total=f"{len(rows)} differ, {found.equal_count} are equal, {found.unknown_here_count} are not in this book",
        )
    )


def _new_snapshot(source: Source = Source.GENAI) -> str:
    today = datetime.now(UTC).date().isoformat()
    if source == Source.VOICE:
        return dump_snapshot(import_voice(), origin=f"{SECONDARY} {voice_version()}", imported_on=today)
    return dump_snapshot(import_genai(), origin=f"genai-prices {library_version()}", imported_on=today)


def _snapshot_rows(snapshot: Snapshot) -> list[PriceRow]:
    return [row for provider in snapshot.providers for row in snapshot.rows(provider)]


def _print_changes(changes: Sequence[PriceChange], *, as_json: bool) -> None:
    if as_json:
        print_json([change.as_json() for change in changes])
        return
    for change in changes:
        print_line(f"{change.kind}: {change.price_id}  {change.before or '-'} -> {change.after or '-'}")
    print_line(f"{len(changes)} changes")
