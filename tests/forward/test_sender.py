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

from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.forward.sender import RefusedForGood, Sender, Transport
from cost_exporter.forward.transport import GrpcTransport, HttpTransport, transport_for


def outgoing(name: str) -> OutgoingSpan:
    return OutgoingSpan(resource=b"", scope=b"", span=Span(name=name).SerializeToString())


class MemoryOutbox:
    """Keeps what is not done, like the one in PostgreSQL."""

    def __init__(self, names: Sequence[str]) -> None:
        self.waiting = [outgoing(name) for name in names]
        self.given_up = 0

    @contextmanager
    def claim(self, limit: int) -> Generator["MemoryClaim"]:
        claim = MemoryClaim(self.waiting[:limit])
        yield claim
        self.given_up += len(claim.refused)
        gone = {*claim.sent, *claim.refused}
        self.waiting = [each for i, each in enumerate(self.waiting) if i not in gone]

    def give_up_older_than(self, age: timedelta) -> int:
        count, self.waiting = len(self.waiting), []
        self.given_up += count
        return count


class MemoryClaim:
    def __init__(self, spans: Sequence[OutgoingSpan]) -> None:
        self.spans = spans
        self.sent: list[int] = []
        self.refused: list[int] = []

    def done(self, positions: Sequence[int]) -> None:
        self.sent.extend(positions)

    def give_up(self, positions: Sequence[int]) -> None:
        self.refused.extend(positions)


class Backend:
    """A real OTLP/gRPC and OTLP/HTTP server that answers as told and remembers the names it took."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.code = grpc.StatusCode.OK
        self.poison = ""
        self.took = threading.Event()

    def take(self, body: bytes) -> bool:
        """Take the spans of a request; False where it is refused."""
        request = ExportTraceServiceRequest.FromString(body)
        names = [span.name for each in request.resource_spans for span in each.scope_spans[0].spans]
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
    outbox = MemoryOutbox(["a", "b", "c"])
    assert Sender(outbox, transport).drain_once() == 3
    assert (backend.taken, outbox.waiting) == (["a", "b", "c"], [])


def test_nothing_leaves_while_the_backend_is_away(wired: tuple[Backend, Transport]) -> None:
    """A passing failure keeps the spans; they leave when it is over."""
    backend, transport = wired
    outbox = MemoryOutbox(["a"])
    sender = Sender(outbox, transport)
    backend.code = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(OSError):  # noqa: PT011 - ConnectionError or HTTPError: both are passing
        sender.drain_once()
    assert len(outbox.waiting) == 1
    backend.code = grpc.StatusCode.OK
    assert sender.drain_once() == 1
    assert backend.taken == ["a"]


def test_one_span_refused_for_good_does_not_hold_the_others(wired: tuple[Backend, Transport]) -> None:
    """The batch is halved until the refused span is alone; it is given up and counted."""
    backend, transport = wired
    backend.poison = "bad"
    outbox = MemoryOutbox(["a", "b", "bad", "c", "d"])
    Sender(outbox, transport).drain_once()
    assert sorted(backend.taken) == ["a", "b", "c", "d"]
    assert (outbox.waiting, outbox.given_up) == ([], 1)


def test_an_empty_outbox_sends_nothing(wired: tuple[Backend, Transport]) -> None:
    """No request without spans."""
    backend, transport = wired
    assert Sender(MemoryOutbox([]), transport).drain_once() == 0
    assert backend.taken == []


def test_the_thread_sends_and_stops(wired: tuple[Backend, Transport]) -> None:
    """Started, it drains by itself; stopped, it ends."""
    backend, transport = wired
    sender = Sender(MemoryOutbox(["a"]), transport)
    sender.start()
    assert backend.took.wait(10)
    sender.stop()
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
        def send(self, request: bytes) -> None:
            raise ConnectionError("away")

        def close(self) -> None:
            pass

    outbox = Watched(["a", "b"])
    sender = Sender(outbox, Away())
    sender.start()
    assert gave_up.wait(10)
    sender.stop()
    assert outbox.given_up == 2
    assert "gave up 2 spans" in caplog.text


def test_the_endpoint_says_the_transport() -> None:
    """HTTP by its path or its port, else gRPC."""
    assert isinstance(transport_for("http://127.0.0.1:4318"), HttpTransport)
    assert isinstance(transport_for("http://127.0.0.1:9/v1/traces"), HttpTransport)
    for endpoint in ("http://127.0.0.1:4317", "https://jaeger.example:4317"):
        transport = transport_for(endpoint)
        assert isinstance(transport, GrpcTransport)
        transport.close()


def test_a_refusal_names_its_reason() -> None:
    """The log line of a span given up says what the backend answered."""
    backend = Backend()
    backend.poison = "bad"
    with http_endpoint(backend) as endpoint, pytest.raises(RefusedForGood, match="HTTP 400"):
        transport_for(endpoint).send(ExportTraceServiceRequest.SerializeToString(_request("bad")))


def _request(name: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name=name)
    return request
