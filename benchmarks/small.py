"""Small requests: what one span a request costs, at 200 requests a second and at the ceiling.

    python benchmarks/small.py

Starts an embedded PostgreSQL with its safety on and `callfare serve` as it starts by default. Many senders, each with a
connection of its own, send requests of one span: first at 200 a second in all, at random moments, then as fast as
they are answered, 64 at a time. A request counts when it is acknowledged, which is after COMMIT. The CPU is that of the
service's processes and of PostgreSQL; that of the clients is printed apart. On a machine that does other work the CPU
says more than the clock. `--processes N` as for `callfare serve`.
"""

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import grpc.aio
import psutil
from ingest import METHOD, fill_billable, set_attribute
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cost_exporter.store.database.embedded import EmbeddedPostgres

RATE = 200
IN_FLIGHT = 64
CONNECTIONS = 8


def request() -> bytes:
    """Return a request of one billable span in a trace of its own."""
    chance = random.Random()
    export = ExportTraceServiceRequest()
    resource_spans = export.resource_spans.add()
    set_attribute(resource_spans.resource.attributes.add(), "service.name", "bench")
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "opentelemetry.instrumentation.openai.v1"
    now_unix_ns = time.time_ns()
    span = scope_spans.spans.add(
        trace_id=chance.randbytes(16),
        span_id=chance.randbytes(8),
        start_time_unix_nano=now_unix_ns,
        end_time_unix_nano=now_unix_ns + 400_000_000,
    )
    fill_billable(span, chance, f"tenant-{chance.randrange(20)}", "bot")
    return export.SerializeToString()


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Return what these have used, their children included."""
    used = 0.0
    for process in processes:
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            used += times.user + times.system
    return used


class Sender:
    """Sends requests of one span and keeps how long each took."""

    def __init__(self, address: str) -> None:
        self._channels = [
            grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
            for _ in range(CONNECTIONS)
        ]
        self._calls = [channel.unary_unary(METHOD) for channel in self._channels]
        self._sent = 0
        self.latencies_seconds: list[float] = []
        self.failures = 0

    async def send(self) -> None:
        """Send one."""
        self._sent += 1
        body = request()
        begin = time.perf_counter()
        try:
            await self._calls[self._sent % CONNECTIONS](body, timeout=30)
        except grpc.aio.AioRpcError:
            self.failures += 1
        else:
            self.latencies_seconds.append(time.perf_counter() - begin)

    async def at_rate(self, per_second: float, seconds: float) -> None:
        """Send at random moments, whatever the answers."""
        end = time.perf_counter() + seconds
        tasks: set[asyncio.Task[None]] = set()
        next_at = time.perf_counter()
        while next_at < end:
            await asyncio.sleep(max(0.0, next_at - time.perf_counter()))
            tasks.add(asyncio.create_task(self.send()))
            next_at += random.expovariate(per_second)
        await asyncio.gather(*tasks)

    async def as_fast_as_answered(self, seconds: float) -> None:
        """Keep so many in flight."""
        end = time.perf_counter() + seconds

        async def one_after_another() -> None:
            while time.perf_counter() < end:
                await self.send()

        await asyncio.gather(*[one_after_another() for _ in range(IN_FLIGHT)])

    async def close(self) -> None:
        """Hang up."""
        for channel in self._channels:
            await channel.close()


async def measured(name: str, address: str, measured_processes: list[psutil.Process], seconds: float) -> None:
    """Run one load and print what it cost."""
    sender = Sender(address)
    await sender.at_rate(50, 2)
    sender.latencies_seconds.clear()
    before, own_before, begin = cpu_seconds(measured_processes), time.process_time(), time.perf_counter()
    await (sender.at_rate(RATE, seconds) if name == "rate" else sender.as_fast_as_answered(seconds))
    took = time.perf_counter() - begin
    cpu, own = cpu_seconds(measured_processes) - before, time.process_time() - own_before
    latencies = sorted(sender.latencies_seconds)
    count = len(latencies)
    print(
        f"{name:8} {count / took:7.0f} requests/s, {cpu / took:5.2f} cores, {cpu / count * 1000:5.2f} ms CPU a request,"
        f" client {own / count * 1000:5.2f}; p50 {latencies[count // 2] * 1000:5.1f} ms,"
        f" p99 {latencies[count * 99 // 100] * 1000:6.1f} ms, {sender.failures} refused"
    )
    await sender.close()


def main() -> int:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=15)
    options.add_argument("--processes", type=int)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="callfare-small-") as directory:
        server = EmbeddedPostgres(Path(directory) / "pg")
        url = server.start()
        command = [sys.executable, "-m", "cost_exporter", "serve", "--db", url]
        command += ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--web", "127.0.0.1:0"]
        command += ["--processes", str(arguments.processes)] if arguments.processes else []
        service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert service.stdout is not None
            address = service.stdout.readline().split()[1]
            postmaster = int((Path(directory) / "pg" / "postmaster.pid").read_text().split()[0])
            processes = [psutil.Process(service.pid), psutil.Process(postmaster)]
            for name in ("rate", "ceiling"):
                asyncio.run(measured(name, address, processes, arguments.seconds))
        finally:
            service.terminate()
            service.wait(30)
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
