"""`callfare hints`: where money may have been spent without need, "at most $x"."""

from datetime import timedelta
from typing import Final

import typer

from cost_exporter.cli.database import connect, open_database
from cost_exporter.cli.options import AsJson, OnlyTenant, Since, Until, Wide, period_of
from cost_exporter.cli.output import print_json, print_sheet
from cost_exporter.report.amounts import time_text
from cost_exporter.report.hints import (
    Hint,
    expensive_models,
    hints_sheet,
    interrupted_speech,
    missed_caches,
    paid_retries,
)
from cost_exporter.store.database.migrate import check_schema
from cost_exporter.store.hints import Bounds, read_hints
from cost_exporter.store.price_books import current_book
from cost_exporter.store.reading import Reader

__all__ = ["register"]

_BOUNDS: Final = Bounds(
    long_prompt_token_count=1024,
    cache_lives=timedelta(hours=1),
    small_input_tokens_max=1000,
    small_output_tokens_max=300,
    retry_within=timedelta(minutes=5),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(hints)


def hints(
    *, since: Since = None, until: Until = None, tenant: OnlyTenant = None, wide: Wide = False, as_json: AsJson = False
) -> None:
    """Show where money may have been spent without need, and at most how much (by default in the last 30 days)."""
    period = period_of(since, until)
    with open_database() as url, connect(url) as connection, Reader.connect(url) as reader:
        check_schema(connection)
        rows = read_hints(reader, period, tenant, _BOUNDS)
        book = current_book(connection)
    found = [
        *missed_caches(rows.without_cache, book),
        *expensive_models(rows.plain_answers),
        *interrupted_speech(rows.interrupted),
        *paid_retries(rows.retries),
    ]
    found.sort(key=_most_first)
    if as_json:
        print_json(
            {
                "since": time_text(period.since),
                "until": time_text(period.until),
                "hints": [each.as_json() for each in found],
            }
        )
    else:
        print_sheet(hints_sheet(found, f"Hints from {period.since:%Y-%m-%d} to {period.until:%Y-%m-%d}"), is_wide=wide)


def _most_first(hint: Hint) -> tuple[object, ...]:
    return -hint.at_most_usd, hint.kind, hint.tenant, hint.workflow_name or "", hint.provider, hint.model
