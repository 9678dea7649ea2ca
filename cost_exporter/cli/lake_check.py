"""`callfare verify --export`: are exported files as they were written, and do they add up to the ledger?"""

from dataclasses import asdict

import typer

from cost_exporter.cli.database import connect, open_database
from cost_exporter.cli.output import print_json, print_line, print_notice
from cost_exporter.store.database.migrate import check_schema

__all__ = ["verify_files"]

_EXIT_FOUND_WRONG = 1


def verify_files(location: str, *, as_json: bool) -> None:
    """Print what is wrong with a place that was exported to. Exits 1 where anything is."""
    from cost_exporter.lake.place import Place  # noqa: PLC0415 - `verify` alone needs no Parquet
    from cost_exporter.lake.verifying import verify_export  # noqa: PLC0415 - same

    place = Place(location)
    with open_database() as url, connect(url) as connection:
        check_schema(connection)
        checked = verify_export(connection, url, place)
    found = checked.problems
    if as_json:
        print_json(
            {
                "is_sound": not found,
                "problems": [asdict(each) for each in found],
                "not_compared": checked.not_compared,
            }
        )
    else:
        if checked.not_compared:
            days = ", ".join(checked.not_compared)
            print_notice(f"not compared, because records were dropped before this place was exported to: {days}")
        for each in found:
            print_line(f"{each.problem} {each.subject}: {each.found}, should be {each.expected}")
        differences = f"{len(found)} differences"
        print_line(differences if found else "sound: each byte as it was written, each sum the ledger's")
    if found:
        raise typer.Exit(_EXIT_FOUND_WRONG)
