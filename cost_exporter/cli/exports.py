"""`callfare export`: what is final as Parquet files."""

from typing import Annotated

import typer

from cost_exporter.cli.database import connect, open_database
from cost_exporter.cli.options import AsJson
from cost_exporter.cli.output import print_json, print_line
from cost_exporter.lake.exporting import export as export_to
from cost_exporter.lake.place import place_of
from cost_exporter.settings import load_settings
from cost_exporter.store.database.migrate import check_schema

__all__ = ["register"]

To = Annotated[str | None, typer.Option(metavar="DIR|s3://…", help="Where to write. [default: CALLFARE_EXPORT_TO]")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(*, to: To = None, as_json: AsJson = False) -> None:
    """Write what has become final or was corrected since the last export into Parquet files."""
    settings = load_settings()
    place = place_of(to or settings.export_to, "--to")
    with open_database() as url, connect(url) as connection:
        check_schema(connection)
        done = export_to(connection, url, place, settings.billing_account)
    sums = done.sums
    if as_json:
        print_json(
            {
                "location": place.location,
                "manifest": done.number or None,
                "files": [each.name for each in done.files],
                "row_count": sums.row_count,
                "request_count": sums.request_count,
                "unpriced_count": sums.unpriced_count,
                "cost_usd": sums.cost_usd,
                "quantities": sums.quantities,
            }
        )
    elif not done.number:
        print_line(f"nothing new for {place.location}")
    else:
        print_line(
            f"{sums.row_count} rows in {len(done.files)} files, {sums.cost_usd} USD, "
            f"{sums.unpriced_count} calls without a full price: manifest {done.number} of {place.location}"
        )
