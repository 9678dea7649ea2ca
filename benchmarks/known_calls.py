"""What a commit costs where many provider calls are known: kept in one index, and with the old ones moved out of it.

    python benchmarks/known_calls.py            or   python benchmarks/known_calls.py --calls 1000000

Three ledgers in one embedded PostgreSQL: an empty one, one in which all these calls are in the table that new ones are
added to, and one in which `move_old_calls` has moved them. Commits of 512 chat completions go to each in turn, each
after a CHECKPOINT. Printed are the CPU time of this process and of the PostgreSQL backend and the log written, for each
call, and what the move itself took. Records and sums are those of the commits alone.
"""

import argparse
import random
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import psycopg
from long_trace import cpu_seconds
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cost_exporter.domain.facts import Facts
from cost_exporter.domain.settling.settle import Price
from cost_exporter.domain.span import Call
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.prices import load_book
from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.old_calls import move_old_calls

START_UNIX_NS = 1_790_000_000_000_000_000
CALLS_PER_COMMIT = 512
CALLS_PER_TRACE = 8
KNOWN = """
insert into callfare.provider_call (call_hash, trace_id, bucket, added_at)
select hashint8extended(n, 7), md5((n / 8)::text)::uuid, '2026-09-01', now() - interval '1 day'
from generate_series(1, %s) as n
"""
NAMES = ("empty", "in one index", "moved")


class Ledger:
    """A ledger on a database of its own, and what its commits took."""

    def __init__(self, server_url: str, name: str, known_count: int) -> None:
        """Make it, with so many calls that are known; they are moved if the name says so."""
        database = name.replace(" ", "_")
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
        self.name = name
        self.url = make_conninfo(server_url, dbname=database)
        migrate(self.url)
        if name != "empty":
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(KNOWN, (known_count,))
                if name == "moved":
                    move(connection)
                connection.execute("vacuum analyze")
        self.store = LedgerStore(self.url)
        self.watching = psycopg.connect(self.url, autocommit=True)
        self.call_count = 0
        self.python_seconds = self.postgres_seconds = self.log_bytes = 0.0

    def commit(self, requests: list[Facts], price: Price) -> None:
        """Store these requests, one after the other, and measure."""
        if not self.call_count:
            self.store.commit([request(random.Random(1))], price)
        row = self.watching.execute(
            "select pid from pg_stat_activity where application_name like 'callfare%' and datname = current_database()"
        ).fetchone()
        assert row is not None
        self.watching.execute("checkpoint")
        log_bytes, postgres, python = self._log_bytes(), cpu_seconds(row[0]), time.process_time()
        for each in requests:
            self.store.commit([each], price)
            self.call_count += len(each.calls)
        self.python_seconds += time.process_time() - python
        self.postgres_seconds += cpu_seconds(row[0]) - postgres
        self.log_bytes += self._log_bytes() - log_bytes

    def _log_bytes(self) -> int:
        row = self.watching.execute("select (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
        assert row is not None
        return row[0]

    def close(self) -> None:
        """Print what a call took, and let go."""
        python_us, postgres_us = (
            seconds / self.call_count * 1e6 for seconds in (self.python_seconds, self.postgres_seconds)
        )
        log_bytes = self.log_bytes / self.call_count
        print(f"{self.name:>14}: {python_us:6.1f} us of Python, {postgres_us:6.1f} us of PostgreSQL, {log_bytes:.0f} B")
        self.store.close()
        self.watching.close()


def main() -> int:
    """Fill, commit in turn, print a line a ledger."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--commits", type=int, default=20, help="in each round")
    arguments = parser.parse_args()
    price = load_book().price_of_call
    chance = random.Random(3)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "postgres")
        url = server.start()
        try:
            ledgers = [Ledger(url, name, arguments.calls) for name in NAMES]
            for _ in range(arguments.rounds):
                for ledger in ledgers:
                    ledger.commit([request(chance) for _ in range(arguments.commits)], price)
            for ledger in ledgers:
                ledger.close()
        finally:
            server.stop()
    return 0


def move(connection: psycopg.Connection[tuple[int]]) -> None:
    """Move all but the last part, and then that one, as in operation: many are there already."""
    part = connection.execute(
        "update callfare.provider_call set added_at = now() where ctid in ("
        " select ctid from callfare.provider_call limit 500000)"
    ).rowcount
    move_old_calls(connection, worthwhile=1)
    connection.execute("checkpoint")
    row = connection.execute("select pg_backend_pid()").fetchone()
    assert row is not None
    before = cpu_seconds(row[0])
    moved_count = move_old_calls(connection, age=timedelta(0), worthwhile=1)
    assert moved_count == part
    print(
        f"the move of {moved_count:,} calls: {(cpu_seconds(row[0]) - before) / moved_count * 1e6:.1f} us of PostgreSQL"
    )


def request(chance: random.Random) -> Facts:
    """Return one request of chat completions with ids, some of them in each trace."""
    calls: list[Call] = []
    trace_id, parent = b"", b""
    for number in range(CALLS_PER_COMMIT):
        if number % CALLS_PER_TRACE == 0:
            trace_id, parent = chance.randbytes(16), chance.randbytes(8)
        started_at = START_UNIX_NS + chance.randrange(3_600_000_000_000)
        calls.append(
            Call(
                trace_id=trace_id,
                span_id=chance.randbytes(8),
                parent_span_id=parent,
                started_at_unix_ns=started_at,
                ended_at_unix_ns=started_at + 400_000_000,
                scope="benchmark",
                call_id=f"response:chatcmpl-{chance.getrandbits(64):x}",
                content_hash=chance.getrandbits(63),
                usage=UsageRecord(
                    provider="openai",
                    model="gpt-4o-mini",
                    operation="chat",
                    quantities={"input_tokens": chance.randrange(50, 8_000), "output_tokens": chance.randrange(1, 900)},
                    at_unix_ns=started_at,
                ),
            )
        )
    return Facts(namespace="default", received_at_unix_ns=START_UNIX_NS + 86_400_000_000_000, calls=calls)


if __name__ == "__main__":
    raise SystemExit(main())
