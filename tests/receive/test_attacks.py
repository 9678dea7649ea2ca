"""Senders that do harm without sending: slow ones, ones that cancel, ones that only hold on to connections."""

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from cost_exporter.receive.admission.admission import AdmissionLimits
from cost_exporter.receive.admission.arrivals import Arrivals
from cost_exporter.receive.connections import OpenConnections, peer_of
from cost_exporter.receive.refusal import Refusal
from cost_exporter.settings import Address
from tests.receive import bodies
from tests.receive.conftest import Service, Start
from tests.receive.test_otlp_grpc import METHOD, export, is_taken
from tests.support.waiting import PATIENCE_SECONDS, wait_until

GOOD = bodies.body(bodies.span(1))
PROTOBUF = {"content-type": "application/x-protobuf"}
HEAD = (
    b"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    b"content-type: application/x-protobuf\r\ncontent-length: 1000\r\n\r\n"
)
SLOW_COUNT = 40
"""More than there are slots in the tests below."""


def connected(address: Address | str) -> socket.socket:
    host, port = str(address).rsplit(":", 1)
    return socket.create_connection((host, int(port)), PATIENCE_SECONDS)


@contextmanager
def slow_http_senders(service: Service, count: int) -> Generator[list[socket.socket]]:
    """So many requests whose bodies have begun to come and do not end."""
    with ExitStack() as stack:
        senders = [stack.enter_context(connected(service.http_address)) for _ in range(count)]
        for sender in senders:
            sender.sendall(HEAD + b"abc")
        yield senders


@contextmanager
def silent_grpc_calls(service: Service, count: int) -> Generator[None]:
    """So many calls that have begun and bring no message."""
    release = threading.Event()

    def never() -> Iterator[bytes]:
        release.wait(PATIENCE_SECONDS)
        yield b""

    with grpc.insecure_channel(service.grpc_address) as opened:
        channel: Any = opened
        calls = [channel.stream_unary(METHOD).future(never(), timeout=PATIENCE_SECONDS) for _ in range(count)]
        try:
            yield
        finally:
            for call in calls:
                call.cancel()
            release.set()


def test_slow_bodies_keep_nobody_out(start: Start) -> None:
    """A slot is taken when a body has arrived: what is on its way holds a connection, and nothing that others need."""
    service = start(limits=AdmissionLimits(slots=2, wait_seconds_max=0.2))
    with slow_http_senders(service, SLOW_COUNT), silent_grpc_calls(service, SLOW_COUNT):
        assert is_taken(service.grpc_address, GOOD)
        assert httpx.post(service.url, content=GOOD, headers=PROTOBUF).status_code == 200
    assert Refusal.OVERLOADED not in service.refused


def test_a_trickle_of_bytes_is_cut_off(start: Start) -> None:
    """A byte now and then does not keep a body alive: the deadline moves by the bytes that come."""
    arrivals = Arrivals(seconds_max=PATIENCE_SECONDS, grace_seconds=0.3)
    service = start(http_options={"arrivals": arrivals})
    with slow_http_senders(service, 1) as (sender,):
        sender.settimeout(0.05)
        answer = b""
        while not answer:
            sender.sendall(b"x")
            try:
                answer = sender.recv(100)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert service.refused == [Refusal.SLOW_SENDER]


def test_a_body_that_comes_fast_enough_may_take_longer_than_the_grace(start: Start) -> None:
    """So a large batch over a slow line arrives."""
    arrivals = Arrivals(seconds_max=PATIENCE_SECONDS, grace_seconds=0.5)
    service = start(http_options={"arrivals": arrivals})
    large = bodies.body(bodies.span(1) + bodies.attribute(b"a", bodies.field(1, b"x" * 400_000)))

    def pieces() -> Iterator[bytes]:
        for start_at in range(0, len(large), 50_000):
            time.sleep(0.1)
            yield large[start_at : start_at + 50_000]

    assert httpx.post(service.url, content=pieces(), headers=PROTOBUF, timeout=PATIENCE_SECONDS).status_code == 200


def test_too_many_bodies_on_their_way_cost_the_oldest_one(start: Start) -> None:
    """Their number is bounded, and a newcomer is not the one to pay."""
    service = start(http_options={"arrivals": Arrivals(seconds_max=PATIENCE_SECONDS, count_max=3)})
    with slow_http_senders(service, 4) as senders:
        assert senders[0].recv(100).startswith(b"HTTP/1.1 503 ")
        assert httpx.post(service.url, content=GOOD, headers=PROTOBUF).status_code == 200


# ------------------------------------------------------------------------------------------------ rapid reset


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def literal(name: bytes, content: bytes) -> bytes:
    """A header field without compression."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(content)]) + content


HEADERS = b"".join(
    literal(*field)
    for field in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", METHOD.encode()),
        (b":authority", b"127.0.0.1"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)


def reset_rapidly(address: str, calls_max: int) -> int:
    """Open calls and cancel each at once; return how many could be sent before the connection was closed."""
    with connected(address) as connection:
        connection.sendall(PREFACE)
        for number in range(calls_max):
            stream = 2 * number + 1
            try:
                connection.sendall(frame(1, 4, stream, HEADERS) + frame(3, 0, stream, struct.pack("!I", 8)))
            except OSError:
                return number
            time.sleep(0.001)
    return calls_max


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="connections are found through /proc")
def test_a_connection_that_only_cancels_is_closed(start: Start) -> None:
    """HTTP/2 rapid reset: it would cost a processor and starve the others; honest calls beside it are taken."""
    service = start()
    export(service.grpc_address, GOOD)
    outcome: list[int] = []
    attacker = threading.Thread(target=lambda: outcome.append(reset_rapidly(service.grpc_address, 20_000)))
    attacker.start()
    taken = [is_taken(service.grpc_address, bodies.body(bodies.span(number))) for number in range(10)]
    attacker.join(PATIENCE_SECONDS)
    assert outcome
    assert outcome[0] < 20_000
    assert all(taken)
    # Who comes again from there is watched more closely.
    again = reset_rapidly(service.grpc_address, 20_000)
    assert again < 20_000
    assert is_taken(service.grpc_address, GOOD)


# --------------------------------------------------------------------------------------------- idle connections

IDLE = """
import asyncio, resource, socket, sys, time
from concurrent.futures import ThreadPoolExecutor
import grpc, httpx
resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))
from cost_exporter.receive.connections import OpenConnections, raise_file_limit
from cost_exporter.receive.event_loop import receiving_loop
from cost_exporter.receive.admission.admission import Admission
from cost_exporter.receive.gate import Gate
from cost_exporter.receive.grpc.receiver import GrpcReceiver
from cost_exporter.receive.http.server import HttpServer
from cost_exporter.settings import Address
from cost_exporter.store.token_directory import anyone
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.receive import bodies
from tests.receive.conftest import FakeStore, InThreads

raise_file_limit()
receiver = GrpcReceiver(
    InThreads(Gate(FakeStore())), authenticate=anyone, admission=Admission(), count_refused=lambda _: None
)
address = receiver.start(Address(host="127.0.0.1", port=0))
web = HttpServer(Starlette(routes=[Route("/healthz", lambda _: PlainTextResponse("ok"))]), option="--web")
web_address = web.start(Address(host="127.0.0.1", port=0))
print(address, web_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def limited_service() -> Generator[tuple[str, str]]:
    """A service in a process that may open 160 files; lends its gRPC and its web address."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", IDLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )
    assert process.stdout is not None
    try:
        grpc_address, web_address = process.stdout.readline().split()
        yield grpc_address, web_address
    finally:
        process.kill()
        process.communicate()


def is_healthy(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/healthz", timeout=PATIENCE_SECONDS).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="connections are found through /proc")
def test_idle_connections_up_to_the_limit_of_open_files_keep_nobody_out() -> None:
    """The idle ones are closed; health and honest senders are answered while more keep coming."""
    with limited_service() as (grpc_address, web_address), ExitStack() as stack:
        channel: Any = stack.enter_context(grpc.insecure_channel(grpc_address))
        honest = channel.unary_unary(METHOD)
        assert honest(GOOD, timeout=PATIENCE_SECONDS, wait_for_ready=True) == b""
        for _ in range(3):
            for _ in range(100):
                idle = stack.enter_context(connected(grpc_address))
                idle.sendall(PREFACE)
            wait_until("it is healthy", lambda: is_healthy(web_address))
            assert honest(GOOD, timeout=PATIENCE_SECONDS, wait_for_ready=True) == b""


def test_the_peer_of_a_call_is_read_as_grpc_writes_it() -> None:
    """Of both kinds of address; another kind has no port to find it by."""
    assert peer_of("ipv4:127.0.0.1:4711") == ("127.0.0.1", 4711)
    assert peer_of("ipv6:%5B::1%5D:4711") == ("::1", 4711)
    assert peer_of("ipv6:[::1]:4711") == ("::1", 4711)
    assert peer_of("unix:") is None


def test_peers_that_are_remembered_are_bounded() -> None:
    """A port is used once, so that peers would come without end."""
    connections = OpenConnections()
    for number in range(12_000):
        connections.used(("127.0.0.1", number))
    assert len(connections._uses) <= 10_000  # pyright: ignore[reportPrivateUsage]
