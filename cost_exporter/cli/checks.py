"""`callfare verify` and `callfare doctor`: is the ledger sound, and is the installation?"""

import typer

from cost_exporter.cli.database import open_reader
from cost_exporter.cli.diagnosis import Finding, diagnose
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_json, print_line, print_lines
from cost_exporter.report.amounts import jsonable

__all__ = ["register"]

_EXIT_FOUND_WRONG = 1


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(verify)
    app.command()(doctor)


def verify(*, as_json: AsJson = False) -> None:
    """Compare the ledger with its rollups, to the last digit. Exits 1 and names every key that differs."""
    with open_reader() as reader:
        found = reader.mismatches()
    if as_json:
        print_json({"is_sound": not found, "mismatches": jsonable(found)})
    else:
        for each in found:
            print_line(f"{each['problem']} {jsonable(each['key'])}: {each['found']}, should be {each['expected']}")
        print_line(f"{len(found)} differences" if found else "sound: every rollup is the exact sum of its records")
    if found:
        raise typer.Exit(_EXIT_FOUND_WRONG)


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
