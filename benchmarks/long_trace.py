"""One more call in a trace: what it costs where the trace has 10 calls, and where it has 100,000.

    python benchmarks/long_trace.py             or   python benchmarks/long_trace.py --sizes 10 1000

Fills one trace a size in an embedded PostgreSQL, 2,000 calls a commit, and then stores single calls, in turn over the
sizes. Prints the CPU time that each took in this process and in its PostgreSQL backend, and what a call takes on disk.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from cost_exporter.domain.facts import Facts
from cost_exporter.domain.span import Call, Link
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.prices import load_book
from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.ledger.ledger import LedgerStore

START_UNIX_NS = 1_790_000_000_000_000_000
RECEIVED_UNIX_NS = START_UNIX_NS + 86_400_000_000_000
CALLS_PER_COMMIT = 2_000
STEP = b"onestep1"
TABLES = ("record", "long_span", "provider_call")


def main() -> int:
    """Fill, add single calls in turn, print a line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    sizes: list[int] = arguments.sizes
    price = load_book().price_of_call
    with own_ledger() as (url, ledger):
        for size in sizes:
            ledger.commit([request([link(size)])], price)
            for first in range(0, size, CALLS_PER_COMMIT):
                numbers = range(first, min(size, first + CALLS_PER_COMMIT))
                ledger.commit([request(call(size, number) for number in numbers)], price)
        with psycopg.connect(url, autocommit=True) as connection:
            backend = backend_of(connection)
            ours: dict[int, list[float]] = {size: [] for size in sizes}
            theirs = dict.fromkeys(sizes, 0.0)
            for turn in range(arguments.rounds):
                for size in sizes:
                    one = request([call(size, 1_000_000 + turn)])
                    before, started = cpu_seconds(backend), time.process_time()
                    ledger.commit([one], price)
                    ours[size].append(time.process_time() - started)
                    theirs[size] += cpu_seconds(backend) - before
            for size in sizes:
                python_ms = statistics.median(ours[size]) * 1000
                postgres_ms = theirs[size] / arguments.rounds * 1000
                print(f"{size:>8} calls: {python_ms:6.2f} ms of Python, {postgres_ms:6.2f} ms of PostgreSQL")
            calls = sum(sizes) + arguments.rounds * len(sizes)
            for table in TABLES:
                print(f"{table}: {size_of(connection, table) / calls:.0f} bytes a call with indexes")
    return 0


@contextmanager
def own_ledger() -> Iterator[tuple[str, LedgerStore]]:
    """Lend the URL of an empty database on a server of its own, and a store that commits to it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "postgres")
        url = server.start()
        ledger = LedgerStore(url)
        try:
            migrate(url)
            yield url, ledger
        finally:
            ledger.close()
            server.stop()


def request(spans: Iterable[Call | Link]) -> Facts:
    """Return one request."""
    given = list(spans)
    return Facts(
        namespace="default",
        received_at_unix_ns=RECEIVED_UNIX_NS,
        calls=[span for span in given if isinstance(span, Call)],
        links=[span for span in given if isinstance(span, Link)],
    )


def link(size: int) -> Link:
    """Return the step that all calls of a trace are below."""
    return Link(trace_id=size.to_bytes(16), span_id=STEP, parent_span_id=b"rootspan")


def call(size: int, number: int) -> Call:
    """Return a chat completion with an id, after the one before it."""
    started_at = START_UNIX_NS + number * 50_000_000
    return Call(
        trace_id=size.to_bytes(16),
        span_id=(number + 1).to_bytes(8),
        parent_span_id=STEP,
        started_at_unix_ns=started_at,
        ended_at_unix_ns=started_at + 40_000_000,
        scope="benchmark",
        call_id=f"response:{size}-{number}",
        content_hash=number,
        usage=UsageRecord(
            provider="openai",
            model="gpt-4o-mini",
            operation="chat",
            quantities={"input_tokens": 1_200 + number % 7, "output_tokens": 345},
            at_unix_ns=started_at,
        ),
    )


def backend_of(connection: psycopg.Connection[tuple[int]]) -> int:
    """Return the process of the ledger's connection."""
    row = connection.execute("select pid from pg_stat_activity where application_name like 'callfare%'").fetchone()
    assert row is not None
    return row[0]


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process until now."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def size_of(connection: psycopg.Connection[tuple[int]], table: str) -> int:
    """Return the bytes of a table with its indexes and partitions; 0 where there is none."""
    row = connection.execute(
        "select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class as c"
        " join pg_namespace as n on n.oid = relnamespace"
        " where nspname = 'callfare' and relkind = 'r' and (relname = %s or relname like %s)",
        (table, f"{table}\\_2%"),
    ).fetchone()
    assert row is not None
    return row[0]


if __name__ == "__main__":
    sys.exit(main())
