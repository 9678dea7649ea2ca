"""What waits in the outbox leaves it once, when the backend has taken it, and not before."""

import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cost_exporter.forward.answers import Taken
from cost_exporter.forward.sender import RefusedForGood, Sender, Transport
from cost_exporter.forward.transport import GrpcTransport, HttpTransport, transport_for
from cost_exporter.read.otlp.otlp_bytes import framed_span, trace_request
from tests.support.waiting import PATIENCE_SECONDS


def waiting(*names: str) -> bytes:
    """A row of the outbox with these spans."""
    return trace_request(b"", b"", [framed_span(Span(name=name).SerializeToString()) for name in names])


class MemoryOutbox:
    """Keeps what is not done, like the one in PostgreSQL. A row is a request."""

    def __init__(self, *rows: bytes, rows_per_claim: int = 10) -> None:
        self.rows = list(rows)
        self.given_up = 0
        self._rows_per_claim = rows_per_claim

    @contextmanager
    def claim(self) -> Generator["MemoryClaim"]:
        claim = MemoryClaim(self.rows[: self._rows_per_claim], is_full=len(self.rows) > self._rows_per_claim)
        yield claim
        if claim.is_done:
            self.given_up += claim.given_up
            del self.rows[: len(claim.requests)]

    def give_up_older_than(self, age: timedelta) -> int:
        count, self.rows = sum(map(span_count_of, self.rows)), []
        self.given_up += count
        return count


class MemoryClaim:
    def __init__(self, requests: Sequence[bytes], *, is_full: bool) -> None:
        self.requests = requests
        self.span_count = sum(map(span_count_of, requests))
        self.is_full = is_full
        self.is_done = False
        self.given_up = 0

    def done(self, *, given_up_count: int = 0) -> None:
        self.is_done, self.given_up = True, given_up_count


def names_in(body: bytes) -> list[str]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span.name for each in request.resource_spans for span in each.scope_spans[0].spans]


def span_count_of(body: bytes) -> int:
    return len(names_in(body))


class Backend:
    """A real OTLP/gRPC and OTLP/HTTP server that answers as told and remembers the names it took."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.code = grpc.StatusCode.OK
        self.poison = ""
        self.took = threading.Event()

    def take(self, body: bytes) -> bool:
        """Take the spans of a request; False where it is refused."""
        names = names_in(body)
        if self.poison in names:
            return False
        self.taken += names
        self.took.set()
        return True

    def grpc_answer(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        if self.code is not grpc.StatusCode.OK:
            context.abort(self.code, "as told")
        if not self.take(body):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "poison")
        return b""


@contextmanager
def grpc_endpoint(backend: Backend) -> Generator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(backend.grpc_answer)
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(None).wait()


@contextmanager
def http_endpoint(backend: Backend) -> Generator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if backend.code is not grpc.StatusCode.OK:
                self.send_response(503)
            else:
                self.send_response(200 if backend.take(body) else 400)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["grpc", "http"])
def wired(request: pytest.FixtureRequest) -> Iterator[tuple[Backend, Transport]]:
    backend = Backend()
    with {"grpc": grpc_endpoint, "http": http_endpoint}[request.param](backend) as endpoint:
        transport = transport_for(endpoint)
        yield backend, transport
        transport.close()


def test_the_outbox_empties_into_the_backend(wired: tuple[Backend, Transport]) -> None:
    """Every span arrives once, in order, and leaves the outbox."""
    backend, transport = wired
    outbox = MemoryOutbox(waiting("a", "b"), waiting("c"))
    assert Sender(outbox, transport).drain_once().span_count == 3
    assert (backend.taken, outbox.rows) == (["a", "b", "c"], [])


def test_nothing_leaves_while_the_backend_is_away(wired: tuple[Backend, Transport]) -> None:
    """A passing failure keeps the spans; they leave when it is over."""
    backend, transport = wired
    outbox = MemoryOutbox(waiting("a"))
    sender = Sender(outbox, transport)
    backend.code = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(OSError):  # noqa: PT011 - ConnectionError or HTTPError: both are passing
        sender.drain_once()
    assert len(outbox.rows) == 1
    backend.code = grpc.StatusCode.OK
    assert sender.drain_once().span_count == 1
    assert backend.taken == ["a"]


@pytest.mark.parametrize("rows", [[("a", "b", "bad", "c", "d")], [("a",), ("b",), ("bad",), ("c", "d")]])
def test_one_span_refused_for_good_does_not_hold_the_others(
    wired: tuple[Backend, Transport], rows: list[tuple[str, ...]]
) -> None:
    """What was refused is halved, also within a row, until the refused span is alone; it is dropped and counted."""
    backend, transport = wired
    backend.poison = "bad"
    outbox = MemoryOutbox(*(waiting(*names) for names in rows))
    Sender(outbox, transport).drain_once()
    assert sorted(backend.taken) == ["a", "b", "c", "d"]
    assert (outbox.rows, outbox.given_up) == ([], 1)


def test_an_empty_outbox_sends_nothing(wired: tuple[Backend, Transport]) -> None:
    """No request without spans."""
    backend, transport = wired
    assert Sender(MemoryOutbox(), transport).drain_once().span_count == 0
    assert backend.taken == []


def test_a_backlog_is_sent_without_a_pause(wired: tuple[Backend, Transport], monkeypatch: pytest.MonkeyPatch) -> None:
    """While one claim does not hold all that waits, the next one follows at once."""
    monkeypatch.setattr("cost_exporter.forward.sender.IDLE_SECONDS", 3600.0)
    backend, transport = wired
    outbox = MemoryOutbox(*(waiting(str(number)) for number in range(5)), rows_per_claim=2)
    sender = Sender(outbox, transport)
    sender.start()
    while len(backend.taken) < 5:
        assert backend.took.wait(PATIENCE_SECONDS)
        backend.took.clear()
    sender.stop(PATIENCE_SECONDS)
    assert outbox.rows == []


def test_the_thread_sends_and_stops(wired: tuple[Backend, Transport]) -> None:
    """Started, it drains by itself; stopped, it ends."""
    backend, transport = wired
    sender = Sender(MemoryOutbox(waiting("a")), transport)
    sender.start()
    assert backend.took.wait(PATIENCE_SECONDS)
    sender.stop(PATIENCE_SECONDS)
    assert backend.taken == ["a"]
    assert "callfare-forward" not in {thread.name for thread in threading.enumerate()}


def test_what_waited_too_long_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """While the backend is away the outbox is bounded by age, and what is dropped is counted and logged."""
    gave_up = threading.Event()

    class Watched(MemoryOutbox):
        def give_up_older_than(self, age: timedelta) -> int:
            count = super().give_up_older_than(age)
            gave_up.set()
            return count

    class Away:
        def send(self, request: bytes) -> Taken:
            raise ConnectionError("away")

        def close(self) -> None:
            pass

    outbox = Watched(waiting("a", "b"))
    sender = Sender(outbox, Away())
    sender.start()
    assert gave_up.wait(PATIENCE_SECONDS)
    sender.stop(PATIENCE_SECONDS)
    assert outbox.given_up == 2
    assert "dropped 2 spans" in caplog.text


def test_the_endpoint_says_the_transport() -> None:
    """HTTP by its path or its port, else gRPC."""
    assert isinstance(transport_for("http://127.0.0.1:4318"), HttpTransport)
    assert isinstance(transport_for("http://127.0.0.1:9/v1/traces"), HttpTransport)
    for endpoint in ("http://127.0.0.1:4317", "https://jaeger.example:4317"):
        transport = transport_for(endpoint)
        assert isinstance(transport, GrpcTransport)
        transport.close()


def test_a_refusal_names_its_reason() -> None:
    """The log line of a dropped span has what the backend answered."""
    backend = Backend()
    backend.poison = "bad"
    with http_endpoint(backend) as endpoint, pytest.raises(RefusedForGood, match="HTTP 400"):
        transport_for(endpoint).send(waiting("bad"))


class Rejecting:
    """Takes what it is sent, but for so many spans."""

    def __init__(self, rejected_count: int) -> None:
        self.rejected_count = rejected_count
        self.sent: list[bytes] = []

    def send(self, request: bytes) -> Taken:
        self.sent.append(request)
        return Taken(rejected_count=self.rejected_count, reason="too old")

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("rejected", "given_up"), [(0, 0), (2, 2), (3, 3), (10**9, 3)])
def test_spans_that_are_rejected_are_given_up_and_counted(
    rejected: int, given_up: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A partial success is final: nothing is sent again, and what was lost is counted and logged."""
    outbox, transport = MemoryOutbox(waiting("a", "b"), waiting("c")), Rejecting(rejected)
    Sender(outbox, transport).drain_once()
    assert (outbox.rows, outbox.given_up, len(transport.sent)) == ([], given_up, 1)
    assert ("too old" in caplog.text) is bool(rejected)
