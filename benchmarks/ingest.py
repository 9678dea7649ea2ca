"""Durable spans a second, end to end, beside the limit of the same PostgreSQL: COPY of the same rows.

    make bench                       or   python benchmarks/ingest.py --batches 200
    python benchmarks/ingest.py --forward      also: what forwarding adds to the service's CPU per span (limit 20 %)

One run starts an embedded PostgreSQL with its safety on and `callfare serve` as a process of its own, and sends
OTLP/gRPC requests of 512 spans, 4 in flight: once with every span billable at real prices, once mixed (one span in
five is billable, as an instrumented web application sends them). A request counts when it is acknowledged, which
is after COMMIT. In turn with slices of the first load its rows are copied into a table of the same columns, keys and
checks: no dedupe, no rollup, no settling. That is as fast as this PostgreSQL takes such rows, and what slows the
machine down meets both.

With `--forward` slices of the billable load go in turn to a service that forwards nothing and to one that forwards
every span, with its cost, to a local OTLP receiver; the CPU counts until the outbox is empty and the receiver has them.

The clients share the machine with the service and PostgreSQL; the figures are of the whole machine.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import psutil
import psycopg
import psycopg.sql
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_sink import OtlpSink

from cost_exporter.store.database.embedded import EmbeddedPostgres

ROOT = Path(__file__).parent.parent
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SPANS_PER_REQUEST = 512
SPANS_PER_TRACE = 8
IN_FLIGHT = 4
BILLABLE_SHARE_MIXED = 0.2
WARM_UP_REQUESTS = 20
SLICES = 10
FORWARD_SLICES = 10
FORWARD_CPU_RATIO_MAX = 1.2
DRAIN_SECONDS_MAX = 300
MODELS = (("openai", "gpt-4o-mini"), ("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4.1"))


@dataclass
class Run:
    """What one load showed."""

    name: str
    span_count: int
    duration_seconds: float
    latencies_seconds: list[float]
    service_cpu_seconds: float
    pss_bytes_by_process: list[int]

    @property
    def spans_per_second(self) -> float:
        """Durable, acknowledged spans."""
        return self.span_count / self.duration_seconds

    @property
    def service_cpu_us_per_span(self) -> float:
        """CPU of the service's processes alone: neither the clients' nor PostgreSQL's."""
        return self.service_cpu_seconds / self.span_count * 1e6

    def figures(self) -> dict[str, float | list[float]]:
        """Return the figures of this run."""
        hundredths = statistics.quantiles(self.latencies_seconds, n=100)
        return {
            "spans_per_second": round(self.spans_per_second),
            "p50_ms": round(hundredths[49] * 1000, 1),
            "p99_ms": round(hundredths[98] * 1000, 1),
            "service_cpu_us_per_span": round(self.service_cpu_us_per_span, 1),
            "service_pss_mib": round(sum(self.pss_bytes_by_process) / 2**20, 1),
            "service_pss_mib_by_process": [round(size / 2**20, 1) for size in self.pss_bytes_by_process],
        }


def request(chance: random.Random, billable_share: float) -> bytes:
    """Return one serialised request."""
    export = ExportTraceServiceRequest()
    resource_spans = export.resource_spans.add()
    set_attribute(resource_spans.resource.attributes.add(), "service.name", "bench")
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "opentelemetry.instrumentation.openai.v1"
    started_at_unix_ns = time.time_ns()
    for index in range(SPANS_PER_REQUEST):
        if index % SPANS_PER_TRACE == 0:
            trace_id, root_id = chance.randbytes(16), chance.randbytes(8)
            account = f"tenant-{chance.randrange(20)}", chance.choice(("bot", "insights"))
        span = scope_spans.spans.add(
            trace_id=trace_id,
            span_id=chance.randbytes(8),
            parent_span_id=root_id,
            start_time_unix_nano=started_at_unix_ns,
            end_time_unix_nano=started_at_unix_ns + 400_000_000,
        )
        if chance.random() < billable_share:
            fill_billable(span, chance, *account)
        else:
            fill_other(span, chance)
    return export.SerializeToString()


def fill_billable(span: Span, chance: random.Random, tenant: str, category: str) -> None:
    """Make the span a chat completion with cached tokens."""
    provider, model = chance.choice(MODELS)
    input_tokens = chance.randrange(50, 8_000)
    span.name = "openai.chat"
    attributes: dict[str, str | int] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.response.id": f"chatcmpl-{chance.getrandbits(64):x}",
        "gen_ai.usage.input_tokens": input_tokens,
        "gen_ai.usage.cache_read.input_tokens": chance.randrange(0, input_tokens),
        "gen_ai.usage.output_tokens": chance.randrange(1, 900),
        "callfare.tenant.id": tenant,
        "callfare.category": category,
    }
    for name, content in attributes.items():
        set_attribute(span.attributes.add(), name, content)


def fill_other(span: Span, chance: random.Random) -> None:
    """Make the span one of a web application."""
    span.name = "GET /calls"
    set_attribute(span.attributes.add(), "http.request.method", "GET")
    set_attribute(span.attributes.add(), "http.response.status_code", 200)
    set_attribute(span.attributes.add(), "url.path", f"/calls/{chance.randrange(1000)}")
    set_attribute(span.attributes.add(), "db.system.name", "postgresql")


def set_attribute(attribute: object, name: str, content: str | int) -> None:
    """Fill one KeyValue."""
    attribute.key = name
    if isinstance(content, int):
        attribute.value.int_value = content
    else:
        attribute.value.string_value = content


@contextmanager
def service(database_url: str, process_count: int, **variables: str) -> Iterator[tuple[psutil.Process, str]]:
    """Run `callfare serve` and lend its process and its gRPC address."""
    command = [sys.executable, "-m", "cost_exporter", "serve", "--db", database_url]
    command += ["--processes", str(process_count)] if process_count else []
    command += ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--web", "127.0.0.1:0"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")])} | variables
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        address = next(line.split()[1] for line in process.stdout if line.startswith("grpc "))
        yield psutil.Process(process.pid), address
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def load(
    name: str,
    address: str,
    process: psutil.Process,
    batch_count: int,
    billable_share: float,
    *,
    warms_up: bool = True,
    await_rest: Callable[[], object] = lambda: None,
) -> Run:
    """Send requests that were made beforehand, some in flight at a time, and measure.

    The CPU counts until `await_rest` has seen done what goes on after the acknowledgements.
    """
    if warms_up:
        warm_up(name, address, billable_share)
        await_rest()
    chance = random.Random(name)
    requests = [request(chance, billable_share) for _ in range(batch_count)]
    cpu_before = cpu_seconds(process)
    started = time.perf_counter()
    latencies_seconds = send(address, requests)
    duration_seconds = time.perf_counter() - started
    await_rest()
    return Run(
        name=name,
        span_count=batch_count * SPANS_PER_REQUEST,
        duration_seconds=duration_seconds,
        latencies_seconds=latencies_seconds,
        service_cpu_seconds=cpu_seconds(process) - cpu_before,
        pss_bytes_by_process=[each.memory_full_info().pss for each in processes_of(process)],
    )


def warm_up(name: str, address: str, billable_share: float) -> None:
    """Let the service see such requests before they count."""
    chance = random.Random(f"warm up {name}")
    send(address, [request(chance, billable_share) for _ in range(WARM_UP_REQUESTS)])


def processes_of(process: psutil.Process) -> list[psutil.Process]:
    """The service's own process and its workers."""
    return [process, *process.children(recursive=True)]


def cpu_seconds(process: psutil.Process) -> float:
    """What all processes of the service used till now, also those that have ended."""
    return sum(sum(each.cpu_times()[:4]) for each in processes_of(process))


def send(address: str, requests: list[bytes]) -> list[float]:
    """Send all requests and return how long each took. An answer other than OK ends the benchmark."""
    waiting, latencies_seconds, lock = iter(requests), list[float](), threading.Lock()
    failures: list[grpc.RpcError] = []

    def work() -> None:
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            export = channel.unary_unary(METHOD)
            while True:
                with lock:
                    body = next(waiting, None)
                if body is None or failures:
                    return
                started = time.perf_counter()
                try:
                    export(body, timeout=60)
                except grpc.RpcError as error:
                    failures.append(error)
                    return
                latencies_seconds.append(time.perf_counter() - started)

    threads = [threading.Thread(target=work) for _ in range(IN_FLIGHT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"the service refused: {failures[0]}")
    return latencies_seconds


def load_beside_copy(database_url: str, address: str, process: psutil.Process, batch_count: int) -> tuple[Run, float]:
    """Send billable requests and copy their rows, in turns. Return the run, and the rows a second that COPY took."""
    warm_up("billable", address, 1.0)
    runs = list[Run]()
    slice_count = max(1, batch_count // SLICES)
    copied_rows, copy_seconds = 0, 0.0
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create table callfare.copy_limit (like callfare.record including all)")
        for number in range(SLICES):
            began = connection.execute("select clock_timestamp()").fetchone()
            assert began is not None
            runs.append(load(f"billable {number}", address, process, slice_count, 1.0, warms_up=False))
            row_count, seconds = copy_since(connection, began[0])
            copied_rows, copy_seconds = copied_rows + row_count, copy_seconds + seconds
        connection.execute("drop table callfare.copy_limit")
    return whole_of(runs), copied_rows / copy_seconds


def whole_of(runs: list[Run]) -> Run:
    """Return several runs as one."""
    return Run(
        name=runs[0].name,
        span_count=sum(run.span_count for run in runs),
        duration_seconds=sum(run.duration_seconds for run in runs),
        latencies_seconds=[latency for run in runs for latency in run.latencies_seconds],
        service_cpu_seconds=sum(run.service_cpu_seconds for run in runs),
        pss_bytes_by_process=runs[-1].pss_bytes_by_process,
    )


def copy_since(connection: psycopg.Connection, began: object) -> tuple[int, float]:
    """Copy the rows stored since, as many at a time as a request has spans. Return rows and seconds."""
    new_rows = psycopg.sql.SQL(
        "copy (select * from callfare.record where received_at >= {}) to stdout (format binary)"
    ).format(began)
    with connection.cursor().copy(new_rows) as copied:
        stream = b"".join(bytes(chunk) for chunk in copied)
    rows = rows_of(stream)
    started = time.perf_counter()
    for start in range(0, len(rows), SPANS_PER_REQUEST):
        with connection.cursor().copy("copy callfare.copy_limit from stdin (format binary)") as into:
            into.write(stream[:HEADER_BYTES] + b"".join(rows[start : start + SPANS_PER_REQUEST]) + b"\xff\xff")
    return len(rows), time.perf_counter() - started


HEADER_BYTES = 19


def rows_of(stream: bytes) -> list[bytes]:
    """Cut a binary COPY stream into rows: a count of fields, then each field's length and content."""
    rows: list[bytes] = []
    position = HEADER_BYTES
    while (fields := int.from_bytes(stream[position : position + 2], "big", signed=True)) != -1:
        end = position + 2
        for _ in range(fields):
            length = int.from_bytes(stream[end : end + 4], "big", signed=True)
            end += 4 + max(0, length)
        rows.append(stream[position:end])
        position = end
    return rows


def compare_forwarding(database_url: str, batch_count: int, process_count: int) -> dict[str, object]:
    """Return the service's CPU per billable span with and without forwarding, slice by slice in turn."""
    without, forwarding = list[Run](), list[Run]()
    slice_count = max(1, batch_count // FORWARD_SLICES)
    with (
        OtlpSink() as sink,
        service(database_url, process_count) as (plain, plain_address),
        service(database_url, process_count, CALLFARE_FORWARD_ENDPOINT=sink.endpoint) as (hop, hop_address),
    ):
        warm_up("not forwarded", plain_address, 1.0)
        warm_up("forwarded", hop_address, 1.0)
        await_empty_outbox(database_url)
        for number in range(FORWARD_SLICES):
            without.append(load(f"not forwarded {number}", plain_address, plain, slice_count, 1.0, warms_up=False))
            rest = partial(await_empty_outbox, database_url)
            name = f"forwarded {number}"
            forwarding.append(load(name, hop_address, hop, slice_count, 1.0, warms_up=False, await_rest=rest))
        sent_count = (slice_count * FORWARD_SLICES + WARM_UP_REQUESTS) * SPANS_PER_REQUEST
        if sink.span_count != sent_count:
            raise SystemExit(f"{sink.span_count} spans were forwarded of {sent_count}; the figures mean nothing")
    ratios = [
        hopped.service_cpu_us_per_span / kept.service_cpu_us_per_span
        for kept, hopped in zip(without, forwarding, strict=True)
    ]
    without_us, with_us = whole_of(without).service_cpu_us_per_span, whole_of(forwarding).service_cpu_us_per_span
    return {
        "slices": FORWARD_SLICES,
        "service_cpu_us_per_span_without": round(without_us, 1),
        "service_cpu_us_per_span_with": round(with_us, 1),
        "cpu_ratio": round(with_us / without_us, 3),
        "cpu_ratio_quartiles": [round(ratio, 3) for ratio in statistics.quantiles(ratios, n=4)],
        "cpu_ratio_max": FORWARD_CPU_RATIO_MAX,
    }


def await_empty_outbox(database_url: str) -> None:
    """Return when everything stored has been forwarded."""
    deadline_seconds = time.monotonic() + DRAIN_SECONDS_MAX
    with psycopg.connect(database_url, autocommit=True) as connection:
        while connection.execute("select exists (select from callfare.outbox)").fetchone() == (True,):
            if time.monotonic() > deadline_seconds:
                raise SystemExit(f"the outbox was not empty after {DRAIN_SECONDS_MAX} s")
            time.sleep(0.1)


def measure(batch_count: int, process_count: int, *, is_forwarding: bool = False) -> dict[str, object]:
    """Run everything and return the figures."""
    forwarding: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="callfare-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        url = server.start()
        try:
            with service(url, process_count) as (process, address):
                billable, limit = load_beside_copy(url, address, process, batch_count)
                mixed = load("mixed", address, process, batch_count, BILLABLE_SHARE_MIXED)
            if is_forwarding:
                forwarding = {"forwarding": compare_forwarding(url, batch_count, process_count)}
        finally:
            server.stop()
    return {
        "batches": batch_count,
        "service_processes": len(billable.pss_bytes_by_process),
        "spans_per_request": SPANS_PER_REQUEST,
        "in_flight": IN_FLIGHT,
        "copy_only_rows_per_second": round(limit),
        "billable": billable.figures(),
        "mixed": mixed.figures(),
        **forwarding,
        "ratio_billable_to_copy": round(billable.spans_per_second / limit, 3),
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--batches",
        type=int,
        default=200,
        help="requests of 512 spans in each run; fewer than 40 leave slices too short for 4 in flight",
    )
    parser.add_argument("--forward", action="store_true", help="also measure what forwarding adds to the CPU per span")
    parser.add_argument("--processes", type=int, default=0, help="as for `serve`, whose default it has")
    wanted = parser.parse_args()
    print(json.dumps(measure(wanted.batches, wanted.processes, is_forwarding=wanted.forward), indent=2))


if __name__ == "__main__":
    main()
