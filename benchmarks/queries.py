"""How long the lists and reports take over a ledger of 5 million records in 700,000 traces.

    python benchmarks/queries.py

Lists and reports read sums, never records, so the sums of so many records are made in SQL and the records are left
out: 50 tenants, 1,000 users, 30 days, every hour of them, two writers. The least CPU time of several runs is printed,
client and backend together: by the clock it is as much on a quiet machine. With `--check` one above the limit ends the
run with 1.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.database.session import connect
from cost_exporter.store.reading import Period, Reader

LIMIT_MS = 50.0
BEGIN = datetime(2026, 9, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=30)
MONTH = Period(since=BEGIN, until=END)
DAY = Period(since=BEGIN + timedelta(days=14), until=BEGIN + timedelta(days=15))
TRACES = """
insert into callfare.trace (
  trace_id, namespace, bucket, is_tenant_trusted, tenant_id, state, workflow_name, started_at, ended_at, record_count,
  last_received_at)
select md5(n::text)::uuid, 'default', '2026-09-01', true, 'tenant' || n %% 50, 'completed', 'support',
  timestamptz '2026-09-01Z' + n * interval '30 days' / %(traces)s,
  timestamptz '2026-09-01Z' + n * interval '30 days' / %(traces)s + (hashint4(n) & 4095) * interval '1 second', 7, now()
from generate_series(1, %(traces)s) as n
"""
WORKFLOWS = """
insert into callfare.workflow_rollup (
  trace_id, namespace, tenant_id, category, leg, cost_usd, request_count, unpriced_count, duplicate_count, llm_calls,
  input_tokens, output_tokens, characters, audio_seconds, call_seconds, duration_ns)
select trace_id, namespace, tenant_id, category, leg, (hashtext(trace_id::text) & 65535) * 0.000001, calls,
  (hashtext(trace_id::text) & 15 = 0)::int, 0, 0, 1200, 345, 0, 0, 0, 1000
from callfare.trace cross join (values ('bot', 'llm', 4), ('voice', 'tts', 3)) as part (category, leg, calls)
"""
TOTALS = """
insert into callfare.workflow_total (
  trace_id, namespace, tenant_id, started_at, ended_at, cost_usd, request_count, unpriced_count, duplicate_count,
  llm_calls, total_tokens)
select trace_id, namespace, trace.tenant_id, trace.started_at, trace.ended_at, trim_scale(sum(cost_usd)),
  sum(request_count), sum(unpriced_count), 0, 0, sum(input_tokens + output_tokens)
from callfare.workflow_rollup join callfare.trace using (trace_id, namespace)
group by trace_id, namespace, trace.tenant_id, trace.started_at, trace.ended_at
"""
HOURS = """
insert into callfare.hourly_rollup (
  tenant_id, hour, category, provider, model, operation, slot, cost_usd, request_count, unpriced_count, total_tokens,
  characters, audio_seconds, call_seconds)
select 'tenant' || tenant, hour, category, provider, provider || '-model', 'chat', slot,
  0.001234567, 14, 0, 1545, 0, 0, 0
from generate_series(0, 49) as tenant
cross join generate_series(timestamptz '2026-09-01Z', timestamptz '2026-09-30 23:00Z', '1 hour') as hour
cross join (values ('bot', 'openai'), ('bot', 'anthropic'), ('voice', 'deepgram'), ('voice', 'elevenlabs'))
  as part (category, provider)
cross join generate_series(0, 1) as slot
"""
DAYS = """
insert into callfare.daily_rollup (
  tenant_id, day, category, provider, model, operation, slot, cost_usd, request_count, unpriced_count,
  duplicate_count, llm_calls, input_tokens, output_tokens, characters, audio_seconds, call_seconds, duration_ns)
select tenant_id, (hour at time zone 'UTC')::date, category, provider, model, operation, slot, sum(cost_usd),
  sum(request_count), sum(unpriced_count), 0, 0, sum(total_tokens), 0, 0, 0, 0, 0
from callfare.hourly_rollup
group by 1, 2, 3, 4, 5, 6, 7
"""
OF_HOURS = """
insert into callfare.spend_rollup (
  tenant_id, kind, grain, starts_at, value, slot, cost_usd, request_count, unpriced_count, total_tokens, characters,
  audio_seconds, call_seconds)
select tenant_id, kind, 'hour', hour, value, slot, sum(cost_usd), sum(request_count), 0, sum(total_tokens), 0, 0, 0
from callfare.hourly_rollup
cross join lateral (values ('category', category), ('provider', provider)) as named (kind, value)
group by 1, 2, 4, 5, 6
"""
OF_NAMES = """
insert into callfare.spend_rollup (
  tenant_id, kind, grain, starts_at, value, slot, cost_usd, request_count, unpriced_count, total_tokens, characters,
  audio_seconds, call_seconds)
select 'tenant' || n %% 50, kind, 'hour', hour, kind || n, slot, 0.001234567, 3, 0, 1545, 0, 0, 0
from (values ('user', 1000), ('task', 100), ('tier', 100)) as kinds (kind, names)
cross join lateral generate_series(1, names) as n
cross join generate_series(timestamptz '2026-09-01Z', timestamptz '2026-09-30 23:00Z', '1 hour') as hour
cross join generate_series(0, 1) as slot
"""
OF_LONGER = """
insert into callfare.spend_rollup (
  tenant_id, kind, grain, starts_at, value, slot, cost_usd, request_count, unpriced_count, total_tokens, characters,
  audio_seconds, call_seconds)
select tenant_id, kind, longer.grain, date_trunc(longer.grain, starts_at, 'UTC'), value, slot, sum(cost_usd),
  sum(request_count), 0, sum(total_tokens), 0, 0, 0
from callfare.spend_rollup cross join (values ('day'), ('month')) as longer (grain)
group by 1, 2, 3, 4, 5, 6
"""


def fill(connection: psycopg.Connection[Any], traces: int) -> None:
    """Make the sums of `traces` workflows."""
    connection.execute(TRACES, {"traces": traces})
    for statement in (WORKFLOWS, TOTALS, HOURS, DAYS, OF_HOURS):
        connection.execute(statement)
    connection.execute(OF_NAMES, {})
    connection.execute(OF_LONGER)
    connection.execute("vacuum analyze")
    connection.execute("checkpoint")


def asked(reader: Reader) -> dict[str, Callable[[], object]]:
    """What a person asks, by name."""
    queries: dict[str, Callable[[], object]] = {}
    for name, period in (("a month", MONTH), ("a day", DAY)):
        for who, tenant in (("all", None), ("one tenant", "tenant7")):
            for by in ("cost", "duration", "unpriced"):
                queries[f"top by {by}, {name}, {who}"] = lambda by=by, period=period, tenant=tenant: reader.top(
                    period, limit=20, tenant=tenant, by=by
                )
            for columns in (
                ("user_id",),
                ("task",),
                ("tier",),
                ("hour",),
                ("day",),
                ("provider", "day"),
                ("category", "provider", "model"),
            ):
                queries[f"report by {', '.join(columns)}, {name}, {who}"] = (
                    lambda columns=columns, period=period, tenant=tenant: reader.spend(period, columns, tenant)
                )
    queries["latest 50"] = lambda: reader.latest(now=END, count=50)
    return queries


def measured_ms(query: Callable[[], object], runs: int, backend: int) -> float:
    """Return the least CPU time of several runs."""
    least = float("inf")
    for _ in range(runs):
        begin_ms = _cpu_ms(backend)
        query()
        least = min(least, _cpu_ms(backend) - begin_ms)
    return least


def _cpu_ms(backend: int) -> float:
    """Return the CPU time of this process and of PostgreSQL's that serves it (Linux)."""
    on_cpu_ns, _, _ = Path(f"/proc/{backend}/schedstat").read_text().split()
    return (int(on_cpu_ns) + time.process_time_ns()) / 1e6


def main() -> int:
    """Print the figures; exit 1 with `--check` where one is above the limit."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--traces", type=int, default=700_000)
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--check", action="store_true")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="callfare-queries-") as directory:
        server = EmbeddedPostgres(Path(directory) / "pg")
        try:
            url = server.start()
            migrate(url)
            with psycopg.connect(url, autocommit=True) as connection:
                fill(connection, arguments.traces)
            with connect(url, autocommit=True, row_factory=dict_row) as connection:
                reader, backend = Reader(connection), connection.info.backend_pid
                figures = {name: measured_ms(query, arguments.runs, backend) for name, query in asked(reader).items()}
        finally:
            server.stop()
    for name, least_ms in figures.items():
        print(f"{name:55} {least_ms:8.1f} ms{' !' if least_ms > LIMIT_MS else ''}")
    return 1 if arguments.check and max(figures.values()) > LIMIT_MS else 0


if __name__ == "__main__":
    sys.exit(main())
