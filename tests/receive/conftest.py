"""A receiver with every part real but the pipeline, which is a fake that follows the `Ingest` protocol."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from cost_exporter.domain.facts import Receipt
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.admission.admission import Admission, AdmissionLimits
from cost_exporter.receive.gate import Gate
from cost_exporter.receive.grpc.receiver import GrpcReceiver
from cost_exporter.receive.http.receiver import HttpReceiver
from cost_exporter.receive.http.server import HttpServer
from cost_exporter.receive.ingest import Refusal
from cost_exporter.settings import Address, TlsFiles
from cost_exporter.store.token_directory import Authenticate, anyone
from tests.receive import bodies

LOOPBACK = Address(host="127.0.0.1", port=0)


class FakeIngest:
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


@dataclass
class Service:
    """Both receivers, running."""

    ingest: FakeIngest
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
            ingest = FakeIngest()
            refused: list[Refusal] = []
            gate = Gate(ingest, **gate_options)
            shared: dict[str, Any] = {
                "authenticate": authenticate,
                "admission": Admission(limits),
                "count_refused": refused.append,
            }
            grpc_receiver = GrpcReceiver(gate, **shared, **(grpc_options or {}))
            http_receiver = HttpReceiver(gate, **shared, **(http_options or {}))
            http_server = HttpServer(http_receiver.app, option="--http", header_seconds_max=header_seconds_max)
            stack.callback(http_receiver.close)
            grpc_address = grpc_receiver.start(LOOPBACK, tls)
            stack.callback(grpc_receiver.stop, 5)
            http_address = http_server.start(LOOPBACK, tls)
            stack.callback(http_server.stop)
            return Service(ingest, grpc_receiver, http_server, str(grpc_address), http_address, refused)

        yield run


@pytest.fixture
def service(start: Start) -> Service:
    """A service with everything at its default."""
    return start()
