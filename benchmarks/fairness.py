"""Fairness: an honest sender beside a flood from another credential, and beside slow senders.

    python benchmarks/fairness.py

Starts an embedded PostgreSQL with its safety on, two tokens and `callfare serve` as it starts by default. An honest
sender sends batches of 100 spans, one after the other, and tries a refused one again after the hint, as clients do:
first alone, then beside forty senders of another credential that send batches of 1,000 spans without a pause, from a
niced process of its own, then beside 64 HTTP bodies that bring one byte a second. Printed are the share of its batches
that were accepted at the first or second try, and how long an accepted try took. Limits: 95 %, p99 five times that of
alone, and 1 s.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import grpc
from ingest import METHOD
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.database.session import connect
from cost_exporter.store.tokens import TokenScope, create

FLOODERS = 40
FLOOD_SPANS = 1_000
HONEST_SPANS = 100
SLOW = 64
PAUSE_SECONDS = 0.2


def batch(spans: int) -> bytes:
    """Return a request of billable spans, eight a trace."""
    export = ExportTraceServiceRequest()
    scope_spans = export.resource_spans.add().scope_spans.add()
    scope_spans.scope.name = "opentelemetry.instrumentation.openai.v1"
    now_unix_ns = time.time_ns()
    for number in range(spans):
        if number % 8 == 0:
            trace_id = os.urandom(16)
        span = scope_spans.spans.add(trace_id=trace_id, span_id=os.urandom(8), name="chat", kind=3)
        span.start_time_unix_nano, span.end_time_unix_nano = now_unix_ns, now_unix_ns + 400_000_000
        for key, content in (("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "openai")):
            span.attributes.add(key=key).value.string_value = content
        span.attributes.add(key="gen_ai.request.model").value.string_value = "gpt-4o-mini"
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 1200
        span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = 345
    return export.SerializeToString()


def flood(address: str, token: str) -> None:
    """Send until killed: what this file does when it is started with `--flood`."""
    os.nice(10)
    bodies = [batch(FLOOD_SPANS) for _ in range(FLOODERS)]

    def send(body: bytes) -> None:
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.unary_unary(METHOD)
            while True:
                try:
                    call(body, timeout=10, metadata=[("authorization", f"Bearer {token}")])
                except grpc.RpcError:
                    continue

    for body in bodies[1:]:
        threading.Thread(target=send, args=(body,), daemon=True).start()
    send(bodies[0])


def slow_bodies(address: str, token: str, stop: threading.Event) -> None:
    """Hold requests open with a byte a second, and connect again when they are cut off."""
    head = (
        f"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n"
        "content-type: application/x-protobuf\r\ncontent-length: 100000\r\n\r\n"
    ).encode()
    host, port = address.rsplit(":", 1)
    senders: list[socket.socket] = []
    while not stop.wait(1):
        while len(senders) < SLOW:
            sender = socket.create_connection((host, int(port)))
            sender.sendall(head)
            senders.append(sender)
        for sender in list(senders):
            try:
                sender.sendall(b"x")
            except OSError:
                senders.remove(sender)


def honest(name: str, address: str, token: str, seconds: float) -> None:
    """Send one batch after the other and print how that went."""
    early, total, latencies_seconds = 0, 0, list[float]()
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(METHOD)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            body, total = batch(HONEST_SPANS), total + 1
            for attempt in range(10):
                begin = time.perf_counter()
                try:
                    call(body, timeout=10, metadata=[("authorization", f"Bearer {token}")])
                except grpc.RpcError:
                    time.sleep(1)
                    continue
                latencies_seconds.append(time.perf_counter() - begin)
                early += attempt <= 1
                break
            time.sleep(PAUSE_SECONDS)
    latencies_seconds.sort()
    p50, p99 = (latencies_seconds[len(latencies_seconds) * share // 100] * 1000 for share in (50, 99))
    print(f"{name:20} {early} of {total} batches at the first or second try; p50 {p50:6.1f} ms, p99 {p99:6.1f} ms")


def main() -> int:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--flood", nargs=2, metavar=("ADDRESS", "TOKEN"))
    arguments = options.parse_args()
    if arguments.flood:
        flood(*arguments.flood)
    with tempfile.TemporaryDirectory(prefix="callfare-fairness-") as directory:
        server = EmbeddedPostgres(Path(directory) / "pg")
        url = server.start()
        migrate(url)
        with connect(url, autocommit=True) as connection:
            tokens = [create(connection, [name], [TokenScope.INGEST]) for name in ("honest", "flood")]
        command = [sys.executable, "-m", "cost_exporter", "serve", "--db", url]
        command += ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--web", "127.0.0.1:0"]
        service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert service.stdout is not None
            grpc_address, http_address = (service.stdout.readline().split()[1] for _ in range(2))
            honest("alone", grpc_address, tokens[0], arguments.seconds)
            flooding = subprocess.Popen([sys.executable, __file__, "--flood", grpc_address, tokens[1]])
            time.sleep(3)
            honest("beside 40 flooders", grpc_address, tokens[0], arguments.seconds)
            flooding.kill()
            flooding.wait()
            stop = threading.Event()
            slow = threading.Thread(target=slow_bodies, args=(http_address, tokens[1], stop), daemon=True)
            slow.start()
            time.sleep(3)
            honest("beside slow bodies", grpc_address, tokens[0], arguments.seconds)
            stop.set()
        finally:
            service.terminate()
            service.wait(40)
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
