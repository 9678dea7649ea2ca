"""A receiver with every part real but the pipeline, which is a fake that follows the `StoreRequest` protocol."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from cost_exporter.domain.facts import Receipt
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.admission.admission import Admission, AdmissionLimits
from cost_exporter.receive.connections import OpenConnections
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity
from cost_exporter.receive.event_loop import receiving_loop
from cost_exporter.receive.gate import Gate
from cost_exporter.receive.grpc.receiver import GrpcReceiver
from cost_exporter.receive.http.receiver import HttpReceiver
from cost_exporter.receive.http.server import HttpServer
from cost_exporter.receive.refusal import Refusal
from cost_exporter.settings import Address, TlsFiles
from cost_exporter.store.token_directory import Authenticate, anyone
from tests.receive import bodies

LOOPBACK = Address(host="127.0.0.1", port=0)


class FakeStore:
    """Keeps what it is given. `before` runs first: it may block or raise, as a database would."""

    def __init__(self) -> None:
        self.requests: list[DecodedRequest] = []
        self.before: Callable[[DecodedRequest], None] = lambda _: None
        self._lock = threading.Lock()

    def __call__(self, request: DecodedRequest) -> Receipt:
        self.before(request)
        with self._lock:
            self.requests.append(request)
        span_count = len(bodies.spans_of(request.resource_spans))
        dead_count = len(request.dead_letters)
        return Receipt(received=span_count + dead_count, accepted=span_count, dead_letter=dead_count)

    @property
    def spans(self) -> list[Any]:
        return [span for request in self.requests for span in bodies.spans_of(request.resource_spans)]

    @property
    def span_ids(self) -> list[bytes]:
        return [span.span_id for span in self.spans]

    @property
    def dead_letters(self) -> list[Any]:
        return [letter for request in self.requests for letter in request.dead_letters]


class InThreads:
    """An `Intake` that takes each request in a thread."""

    def __init__(self, gate: Gate) -> None:
        self.take = gate.take
        self.limits = gate.limits
        self._threads = ThreadPoolExecutor(64)

    def begin(self, body: bytes, encoding: Encoding, sender: SenderIdentity) -> "Future[Receipt]":
        return self._threads.submit(self.take, body, encoding, sender)

    @property
    def is_ready(self) -> bool:
        return True

    def close(self) -> None:
        self._threads.shutdown(wait=False)


@dataclass
class Service:
    """Both receivers, running."""

    store: FakeStore
    grpc: GrpcReceiver
    http: HttpServer
    grpc_address: str
    http_address: Address
    refused: list[Refusal] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.http_address}/v1/traces"


Start = Callable[..., Service]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a service with given parts; it is stopped at the end of the test."""
    with ExitStack() as stack:

        def run(
            *,
            limits: AdmissionLimits | None = None,
            authenticate: Authenticate = anyone,
            tls: TlsFiles | None = None,
            http_options: dict[str, Any] | None = None,
            grpc_options: dict[str, Any] | None = None,
            header_seconds_max: float = 10.0,
            **gate_options: Any,
        ) -> Service:
            store = FakeStore()
            refused: list[Refusal] = []
            gate = Gate(store, **gate_options)
            intake = InThreads(gate)
            stack.callback(intake.close)
            shared: dict[str, Any] = {
                "authenticate": authenticate,
                "admission": Admission(limits),
                "count_refused": refused.append,
                "connections": OpenConnections(),
            }
            grpc_receiver = GrpcReceiver(intake, **shared, **(grpc_options or {}))
            http_receiver = HttpReceiver(intake, **shared, **(http_options or {}))
            http_server = HttpServer(
                http_receiver.app,
                option="--http",
                header_seconds_max=header_seconds_max,
                loop=receiving_loop(),
                connections=shared["connections"],
            )
            stack.callback(http_receiver.close)
            grpc_address = grpc_receiver.start(LOOPBACK, tls)
            stack.callback(grpc_receiver.stop, 5)
            http_address = http_server.start(LOOPBACK, tls)
            stack.callback(http_server.stop)
            return Service(store, grpc_receiver, http_server, str(grpc_address), http_address, refused)

        yield run


@pytest.fixture
def service(start: Start) -> Service:
    """A service with everything at its default."""
    return start()
