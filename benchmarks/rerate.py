"""Re-rate a ledger of a million records: dry run, apply, undo; the totals must be exact at every step.

    python benchmarks/rerate.py                 or   python benchmarks/rerate.py --records 100000

Fills an embedded PostgreSQL with its safety on through the store itself, by the list prices; then re-rates
everything by a book with 10 % off. Expected totals are computed from the prices, not from the ledger. After each
step the integrity check must find nothing: every rollup equals its records.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import psycopg

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.facts import Facts
from cost_exporter.domain.span import Call
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.prices import load_book
from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.rerate import ReratedPeriod, RerateTotals, apply_rerate, preview_rerate, undo_rerate

START = datetime(2026, 11, 1, tzinfo=UTC)
START_UNIX_NS = int(START.timestamp()) * 1_000_000_000
CALLS_PER_TRACE = 10
CALLS_PER_COMMIT = 4_000
INPUT_TOKENS, OUTPUT_TOKENS = 1_200, 345
COST_USD = (Decimal("0.15") * INPUT_TOKENS + Decimal("0.60") * OUTPUT_TOKENS) / 1_000_000  # gpt-4o-mini
DISCOUNT = Decimal("0.9")
Result = TypeVar("Result")


def calls(first: int, count: int) -> list[Call]:
    """Return chat completions, ten a trace, spread over the hours of a day and over twenty tenants."""
    return [_call(number) for number in range(first, first + count)]


def _call(number: int) -> Call:
    trace = number // CALLS_PER_TRACE
    started_at = START_UNIX_NS + trace % 86_400 * 1_000_000_000 + number % CALLS_PER_TRACE
    return Call(
        trace_id=(trace + 1).to_bytes(16, "big"),
        span_id=(number + 1).to_bytes(8, "big"),
        parent_span_id=b"rootspan",
        started_at_unix_ns=started_at,
        ended_at_unix_ns=started_at + 400_000_000,
        attribution=Attribution(tenant=f"tenant-{trace % 20}", category="bot"),
        scope="benchmark",
        content_hash=number,
        usage=UsageRecord(
            provider="openai",
            model="gpt-4o-mini",
            operation="chat",
            quantities={"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS},
            at_unix_ns=started_at,
        ),
    )


def main() -> int:
    """Fill, re-rate, undo; return 1 if any total or any rollup is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    record_count: int = parser.parse_args().records
    book = load_book()
    cheaper = book.scaled(DISCOUNT)
    period = ReratedPeriod(since=START, until=START + timedelta(days=2))
    before, after = COST_USD * record_count, COST_USD * DISCOUNT * record_count
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "postgres")
        url = server.start()
        try:
            migrate(url)
            timed("fill", record_count, lambda: fill(url, record_count))
            check(url, before)
            dry = last(timed("dry run", record_count, lambda: list(preview_rerate(url, period, cheaper.price))))
            expect("dry run says", (dry.records, dry.before_usd, dry.after_usd), (record_count, before, after))
            check(url, before)
            done = last(timed("apply", record_count, lambda: list(apply_rerate(url, period, cheaper.price, "cheaper"))))
            expect("apply says", (done.records, done.before_usd, done.after_usd), (record_count, before, after))
            check(url, after)
            assert done.rerate_id is not None
            rerate_id = done.rerate_id
            timed("undo", record_count, lambda: list(undo_rerate(url, rerate_id, book.price)))
            check(url, before)
        finally:
            server.stop()
    print("every total exact, every rollup equal to its records")
    return 0


def fill(url: str, record_count: int) -> None:
    """Store the calls by the list prices."""
    ledger, price = LedgerStore(url), load_book().price
    for first in range(0, record_count, CALLS_PER_COMMIT):
        batch = calls(first, min(CALLS_PER_COMMIT, record_count - first))
        ledger.commit([Facts(namespace="default", received_at_unix_ns=START_UNIX_NS + 10**14, calls=batch)], price)
    ledger.close()


def check(url: str, expected_usd: Decimal) -> None:
    """Fail unless ledger and both rollups say the expected total, and the integrity check finds nothing."""
    with psycopg.connect(url) as connection:
        for view, column in (
            ("cost_record", "cost_usd"),
            ("workflow_cost", "total_cost_usd"),
            ("daily_cost", "cost_usd"),
        ):
            row = connection.execute(f"select sum({column}) from callfare.{view}").fetchone()
            expect(view, row, (expected_usd,))
        expect("integrity check", connection.execute("select * from callfare.integrity_check").fetchall(), [])


def expect(what: str, found: object, expected: object) -> None:
    """Stop the run where a figure is wrong."""
    if found != expected:
        sys.exit(f"{what}: expected {expected}, found {found}")


def timed(name: str, record_count: int, work: Callable[[], Result]) -> Result:
    """Do the work and print how long it took."""
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    print(
        f"{name:8} {record_count:>9,} records  {seconds:7.1f} s  {record_count / seconds:>8,.0f} records/s", flush=True
    )
    return result


def last(steps: Iterable[RerateTotals]) -> RerateTotals:
    """Return the totals of the whole."""
    *_, final = steps
    return final


if __name__ == "__main__":
    sys.exit(main())
