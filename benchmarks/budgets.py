"""Budgets: what 1,000 of them and their alerts add to ingest.

    python benchmarks/budgets.py

Starts an embedded PostgreSQL with its safety on and `callfare serve` with one process. In turns: batches of 100
spans of 250 tenants, without budgets, and with four budgets a tenant (hour, day, month, total), of which a hundred
are crossed in the run and sent to a receiver on this machine. Printed is the CPU a span, of the service and of
PostgreSQL, from the first batch to six seconds after the last; it says more than the clock on a machine that does
other work. Goal: without / with at least 0.9.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import get_args

import grpc
import psutil
import psycopg
from ingest import METHOD, set_attribute
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cost_exporter.domain.budget import TimeWindow
from cost_exporter.store.budgets.definitions import BudgetSpec, put_budget
from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate

TENANTS = 250
CROSSED = 100
BATCHES = 150
SPANS = 100
TURNS = 3


class Receiver(BaseHTTPRequestHandler):
    """Takes every alert."""

    count = 0

    def do_POST(self) -> None:
        """Answer 200."""
        self.rfile.read(int(self.headers["Content-Length"]))
        Receiver.count += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def batch(chance: random.Random) -> bytes:
    """Return a request of billable spans, each of another tenant."""
    export = ExportTraceServiceRequest()
    scope_spans = export.resource_spans.add().scope_spans.add()
    scope_spans.scope.name = "opentelemetry.instrumentation.openai.v1"
    now_unix_ns = time.time_ns()
    for _ in range(SPANS):
        span = scope_spans.spans.add(trace_id=chance.randbytes(16), span_id=chance.randbytes(8), name="chat", kind=3)
        span.start_time_unix_nano, span.end_time_unix_nano = now_unix_ns, now_unix_ns + 400_000_000
        for key, content in (
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "gpt-4o-mini"),
            ("callfare.tenant.id", f"tenant-{chance.randrange(TENANTS)}"),
            ("gen_ai.usage.input_tokens", 1200),
            ("gen_ai.usage.output_tokens", 345),
        ):
            set_attribute(span.attributes.add(), key, content)
    return export.SerializeToString()


def set_budgets(url: str) -> None:
    """Set four budgets a tenant; a hundred of them are so low that the run crosses them."""
    with psycopg.connect(url) as connection:
        for number in range(TENANTS):
            for window in get_args(TimeWindow):
                is_low = number < CROSSED and window == "hour"
                limit_usd = Decimal("0.02") if is_low else Decimal(1_000)
                put_budget(
                    connection,
                    BudgetSpec(
                        name=f"{window}-{number}",
                        tenant=f"tenant-{number}",
                        time_window=window,
                        limit_usd=limit_usd,
                        enforcement="hard",
                        thresholds=(Decimal(100),),
                        unpriced="refuse",
                    ),
                )


class Service:
    """`callfare serve` on a database of its own."""

    def __init__(self, server_url: str, name: str, config: Path | None) -> None:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f"create database {name}")
        self.url = server_url.replace("@/callfare?", f"@/{name}?")
        assert self.url != server_url, server_url
        migrate(self.url)
        if config is not None:
            set_budgets(self.url)
        anywhere = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--web", "127.0.0.1:0")
        environment = {**os.environ, "CALLFARE_DATABASE_URL": self.url, "CALLFARE_PROCESSES": "1"}
        if config is not None:
            environment["CALLFARE_CONFIG"] = str(config)
        command = [sys.executable, "-m", "cost_exporter", "serve", *anywhere]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.addresses = dict(self.process.stdout.readline().split() for _ in range(3))

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)


def cpu_seconds(*pids: int) -> float:
    """Return what these processes and their children have used."""
    used = 0.0
    for pid in pids:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used


def ingest(server_url: str, postmaster: int, name: str, config: Path | None) -> float:
    """Return the CPU in microseconds a span."""
    service = Service(server_url, name, config)
    try:
        chance = random.Random(7)
        bodies = [batch(chance) for _ in range(BATCHES)]
        with grpc.insecure_channel(service.addresses["grpc"]) as channel:
            call = channel.unary_unary(METHOD)
            call(bodies[0], timeout=60)
            before = cpu_seconds(service.process.pid, postmaster)
            for body in bodies[1:]:
                call(body, timeout=60)
            time.sleep(6)  # what is judged and delivered after the last commit counts too
            used = cpu_seconds(service.process.pid, postmaster) - before
        return used * 1e6 / (SPANS * (BATCHES - 1))
    finally:
        service.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=TURNS)
    turns = parser.parse_args().turns
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    folder = Path(tempfile.mkdtemp(prefix="callfare-bench-"))
    folder.chmod(0o711)
    config = folder / "callfare.yaml"
    address = f"http://127.0.0.1:{receiver.server_port}/"
    config.write_text(f"alerts: [{{name: ops, kind: webhook, url: '{address}', on: [budget], allow_private: true}}]\n")
    config.chmod(0o644)
    server = EmbeddedPostgres(folder / "postgres")
    try:
        url = server.start()
        postmaster = int((server.data_dir / "postmaster.pid").read_text().splitlines()[0])
        without, with_budgets = [], []
        for turn in range(turns):
            without.append(ingest(url, postmaster, f"without_{turn}", None))
            with_budgets.append(ingest(url, postmaster, f"with_{turn}", config))
            print(f"turn {turn + 1}: {without[-1]:.1f} us CPU a span without, {with_budgets[-1]:.1f} with", flush=True)
        ratio = statistics.median(without) / statistics.median(with_budgets)
        print(f"ingest: without / with {ratio:.2f} (at least 0.9), {Receiver.count / turns:.0f} alerts a run")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
