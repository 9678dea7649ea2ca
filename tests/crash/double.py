"""Test doubles of a cost service, sound or with one of the two classic faults. No product code is in here.

    sound               one transaction, acknowledged after COMMIT
    ack-before-commit   acknowledges, then commits in the background: a kill loses what waits
    second-transaction  commits the records, then the rollup: a kill between leaves the rollup short

Its tables have the names that the verdict reads, so the same eyes look at both services.
"""

import queue
import signal
import sys
import threading
import time
from concurrent import futures
from decimal import Decimal as D

import grpc
import psycopg
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.crash.traffic import CACHED_PRICE_USD, INPUT_PRICE_USD, OUTPUT_PRICE_USD

SCHEMA = """
create schema if not exists callfare;
create table if not exists callfare.cost_record (
  trace_id uuid, span_id text, cost_usd numeric, status text default 'priced', primary key (trace_id, span_id));
create table if not exists callfare.workflow_cost (trace_id uuid primary key, total_cost_usd numeric);
create view callfare.daily_cost as select sum(total_cost_usd) as cost_usd from callfare.workflow_cost;
create view callfare.hourly_cost as select sum(total_cost_usd) as cost_usd from callfare.workflow_cost;
create view callfare.spend_by as
select 'category' as kind, grain, sum(total_cost_usd) as cost_usd
from callfare.workflow_cost, (values ('hour'), ('day')) as each (grain) group by grain;
create table callfare.integrity_check (problem text);
"""
INSERT = "insert into callfare.cost_record values (%s, %s, %s) on conflict do nothing returning cost_usd"
ROLL_UP = """
insert into callfare.workflow_cost values (%s, %s)
on conflict (trace_id) do update set total_cost_usd = workflow_cost.total_cost_usd + excluded.total_cost_usd
"""
BACKGROUND_SECONDS = 0.25
GAP_SECONDS = 0.15

Row = tuple[str, str, D]


def rows_of(payload: bytes) -> list[Row]:
    """Return trace id, span id and cost of each span."""
    rows: list[Row] = []
    for resource_spans in ExportTraceServiceRequest.FromString(payload).resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                counts = {each.key: each.value.int_value for each in span.attributes}
                cached = counts["gen_ai.usage.cache_read.input_tokens"]
                cost_usd = (
                    INPUT_PRICE_USD * (counts["gen_ai.usage.input_tokens"] - cached)
                    + CACHED_PRICE_USD * cached
                    + OUTPUT_PRICE_USD * counts["gen_ai.usage.output_tokens"]
                ) / 1_000_000
                rows.append((span.trace_id.hex(), span.span_id.hex(), cost_usd))
    return sorted(rows)


class Double:
    """Stores spans, with or without a fault."""

    def __init__(self, fault: str, database_url: str) -> None:
        self.fault = fault
        self._database_url = database_url
        self._local = threading.local()
        self._waiting: queue.Queue[list[Row]] = queue.Queue()

    def handle(self, payload: bytes, _: grpc.ServicerContext) -> bytes:
        """Take a request and return its acknowledgement."""
        if self.fault == "ack-before-commit":
            self._waiting.put(rows_of(payload))
        else:
            self.store(rows_of(payload))
        return b""

    def store(self, rows: list[Row]) -> None:
        """Insert what is new and move the rollups."""
        connection = self._connection()
        new: dict[str, D] = {}
        with connection.transaction():
            for row in rows:
                if connection.execute(INSERT, row).fetchone():
                    new[row[0]] = new.get(row[0], D(0)) + row[2]
            if self.fault != "second-transaction":
                self._roll_up(connection, new)
        if self.fault == "second-transaction":
            time.sleep(GAP_SECONDS)  # the gap is real in any such service; here it is wide enough to be hit soon
            with connection.transaction():
                self._roll_up(connection, new)

    def store_in_background(self) -> None:
        """Commit now and then what was acknowledged long ago."""
        while True:
            time.sleep(BACKGROUND_SECONDS)
            while not self._waiting.empty():
                self.store(self._waiting.get())

    def _roll_up(self, connection: psycopg.Connection[tuple[object, ...]], new: dict[str, D]) -> None:
        for trace_id, cost_usd in sorted(new.items()):
            connection.execute(ROLL_UP, (trace_id, cost_usd))

    def _connection(self) -> psycopg.Connection[tuple[object, ...]]:
        if not hasattr(self._local, "connection"):
            self._local.connection = psycopg.connect(self._database_url, autocommit=True)
        return self._local.connection


def main(fault: str, database_url: str, address: str) -> None:
    """Serve until SIGTERM."""
    with psycopg.connect(database_url) as connection:
        known = connection.execute("select to_regclass('callfare.cost_record')").fetchone()
        if known == (None,):
            connection.execute(SCHEMA)
    double = Double(fault, database_url)
    threading.Thread(target=double.store_in_background, daemon=True).start()
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(double.handle)
    name = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": handler}),))
    server.add_insecure_port(address)
    server.start()
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM})
    server.stop(2).wait()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(*sys.argv[1:])
