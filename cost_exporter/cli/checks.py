"""`callfare verify` and `callfare doctor`: is the ledger sound, are exports of it, and is the installation?"""

from typing import Annotated, Any

import typer

from cost_exporter.cli.database import connect, open_database
from cost_exporter.cli.diagnosis import Finding, diagnose
from cost_exporter.cli.lake_check import verify_files
from cost_exporter.cli.options import AsJson, parse_trace_id
from cost_exporter.cli.output import print_json, print_line, print_lines, print_notice, print_too_old
from cost_exporter.report.amounts import jsonable
from cost_exporter.settings import load_settings
from cost_exporter.store.database.connection import open_ledger
from cost_exporter.store.database.migrate import check_schema
from cost_exporter.store.deep_check import BEGINNING, DeepStep, deep_check
from cost_exporter.store.identity import SeenLedgers, identity_of
from cost_exporter.store.price_books import PastBooks
from cost_exporter.store.reading import Period, Reader

__all__ = ["register"]

_EXIT_FOUND_WRONG = 1
Exported = Annotated[
    str | None, typer.Option("--export", metavar="DIR|s3://…", help="Check exported files instead, byte by byte.")
]
_TRACES_BETWEEN_NOTICES = 10_000

AcceptDatabase = Annotated[
    bool, typer.Option("--accept-database", help="Take a database that was replaced for the right one from now on.")
]
Deep = Annotated[bool, typer.Option("--deep", help="Decide and price every call again, and compare each column.")]
After = Annotated[
    str | None, typer.Option(metavar="TRACE_ID", help="With --deep: go on after this trace, as its progress names it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(verify)
    app.command()(doctor)


def verify(
    *,
    deep: Deep = False,
    after: After = None,
    exported: Exported = None,
    accept_database: AcceptDatabase = False,
    as_json: AsJson = False,
) -> None:
    """Compare the ledger with its rollups, to the last digit. Exits 1 and names every key that differs.

    `--deep` also decides and prices every stored call again. It runs beside ingest, in steps; each names the trace to
    go on after.
    """
    if after is not None and not deep:
        raise typer.BadParameter("--after goes with --deep")
    if exported is not None:
        if deep or accept_database:
            raise typer.BadParameter("--export checks files; leave out --deep and --accept-database")
        verify_files(exported, as_json=as_json)
        return
    checked = DeepStep(place=BEGINNING if after is None else parse_trace_id(after)) if deep else None
    with open_database() as url:
        found = _replaced(url, is_accepted=accept_database)
        with Reader.connect(url) as reader:
            found += reader.mismatches()
            too_old_count = reader.too_old(Period.always())
        if not as_json:
            _print_found(found)
        if checked is not None:
            found += _deeply(url, checked, prints=not as_json)
    if as_json:
        print_json(_deep_json(checked) | {"is_sound": not found, "mismatches": jsonable(found)})
    else:
        print_line(f"{len(found)} differences" if found else "sound: every rollup is the exact sum of its records")
        if checked is not None:
            print_line(
                f"{checked.records} records of {checked.traces} traces were decided and priced again; for"
                f" {checked.unknown_book_count} the price book is gone, so only their lines were checked"
            )
    print_too_old(too_old_count)
    if found:
        raise typer.Exit(_EXIT_FOUND_WRONG)


def _replaced(url: str, *, is_accepted: bool) -> list[dict[str, Any]]:
    """Return what is another database than the one that was seen here before."""
    with connect(url) as connection:
        check_schema(connection)
        seen = SeenLedgers(load_settings().data_dir, url)
        if is_accepted:
            seen.accept(identity_of(connection))
        found = seen.check(lambda: identity_of(connection))
        if not found:
            return []
        key = {"ledger_id": identity_of(connection).ledger_id}
    names = {"problem": "replaced_database", "tenant_id": "*", "key": key, "expected": "the database seen before"}
    return [names | {"found": each} for each in found]


def _deep_json(checked: DeepStep | None) -> dict[str, Any]:
    if checked is None:
        return {}
    counts = {"traces": checked.traces, "records": checked.records, "unknown_book_count": checked.unknown_book_count}
    return {"deep": counts}


def _deeply(url: str, checked: DeepStep, *, prints: bool) -> list[dict[str, Any]]:
    """Check from a place to the end; what differs is printed as it is found, so that an interruption loses nothing."""
    found: list[dict[str, Any]] = []
    with connect(url) as prices, open_ledger(url) as ledger:
        printed_at = 0
        for step in deep_check(ledger, PastBooks(prices).price, after=checked.place):
            rows = [each.as_row() for each in step.differences]
            if prints:
                _print_found(rows)
            found += rows
            step.differences.clear()
            checked.add(step)
            if checked.traces - printed_at >= _TRACES_BETWEEN_NOTICES:
                printed_at = checked.traces
                print_notice(
                    f"{checked.traces} traces, {checked.records} records checked; to go on from here:"
                    f" callfare verify --deep --after {checked.place.hex}"
                )
    return found


def _print_found(found: list[dict[str, Any]]) -> None:
    for each in found:
        print_line(f"{each['problem']} {jsonable(each['key'])}: {each['found']}, should be {each['expected']}")


def doctor(*, as_json: AsJson = False) -> None:
    """Look at configuration, database, clock, age of prices and instrumentations. Exits 1 if something is wrong."""
    findings = diagnose()
    if as_json:
        print_json({"findings": [finding.as_json() for finding in findings]})
    else:
        print_lines(map(_line, findings))
    if any(finding.level == "wrong" for finding in findings):
        raise typer.Exit(_EXIT_FOUND_WRONG)


def _line(finding: Finding) -> str:
    mark = {"ok": "ok     ", "note": "note   ", "wrong": "WRONG  "}[finding.level]
    return f"{mark}{finding.subject}: {finding.text}"
