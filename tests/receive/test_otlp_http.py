import gzip
import json
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from cost_exporter.errors import Overloaded, SettingsError, StoreUnavailable
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.admission.admission import AdmissionLimits
from cost_exporter.receive.admission.arrivals import Arrivals
from cost_exporter.receive.admission.bounds import Limits
from cost_exporter.receive.http.server import HttpServer
from cost_exporter.receive.refusal import Refusal
from cost_exporter.settings import Address
from tests.receive import bodies
from tests.receive.conftest import Service, Start
from tests.support.waiting import PATIENCE_SECONDS, RUN_SECONDS_MAX, wait_until

CLIENT = httpx.Client(timeout=60, verify=False, trust_env=False)  # reading certificates costs more than a test
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
GOOD = bodies.body(bodies.span(1), bodies.span(2))
GOOD_JSON = json.dumps(
    {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {"traceId": bodies.trace_id(0).hex(), "spanId": bodies.span_id(1).hex(), "name": "chat"}
                        ]
                    }
                ]
            }
        ]
    }
).encode()


@pytest.fixture(scope="module", autouse=True)
def _close_client() -> Iterator[None]:
    yield
    CLIENT.close()


def post(service: Service, content: Any, headers: dict[str, str], **options: Any) -> httpx.Response:
    return CLIENT.post(service.url, content=content, headers=headers, **options)


def connected(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), PATIENCE_SECONDS)


def test_protobuf_is_stored_and_answered_in_kind(service: Service) -> None:
    """A good request gives 200 with an empty response in its own content type."""
    answer = post(service, GOOD, PROTOBUF)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert service.store.span_ids == [bodies.span_id(1), bodies.span_id(2)]


def test_json_is_stored_and_answered_in_kind(service: Service) -> None:
    """JSON in, JSON out; parameters of the content type do not matter."""
    answer = post(service, GOOD_JSON, {"content-type": "Application/JSON; charset=utf-8"})
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    assert service.store.span_ids == [bodies.span_id(1)]


def test_a_body_in_chunks_without_a_length_is_read(service: Service) -> None:
    """JavaScript sends `Transfer-Encoding: chunked` and no Content-Length."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(GOOD_JSON), 7):
            yield GOOD_JSON[start : start + 7]

    answer = post(service, pieces(), JSON)
    assert answer.status_code == 200
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert service.store.span_ids == [bodies.span_id(1)]


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [
        ("gzip", gzip.compress(GOOD)),
        ("GZIP", gzip.compress(GOOD[:50]) + gzip.compress(GOOD[50:])),
        ("x-gzip", gzip.compress(GOOD)),
        ("deflate", zlib.compress(GOOD)),
        ("identity", GOOD),
    ],
)
def test_compressed_bodies_are_read(service: Service, encoding: str, compressed: bytes) -> None:
    """gzip, also of several members, and deflate are undone."""
    assert post(service, compressed, PROTOBUF | {"content-encoding": encoding}).status_code == 200
    assert service.store.span_ids == [bodies.span_id(1), bodies.span_id(2)]


@pytest.mark.parametrize(
    ("headers", "content", "status", "reason"),
    [
        (PROTOBUF, b"\xff\xff nonsense", 400, Refusal.UNDECODABLE),
        (JSON, b"{nonsense", 400, Refusal.UNDECODABLE),
        (JSON, b"", 400, Refusal.UNDECODABLE),
        (JSON, b"[1]", 400, Refusal.UNDECODABLE),
        (PROTOBUF | {"content-encoding": "gzip"}, b"not gzip", 400, Refusal.UNDECODABLE),
        (PROTOBUF | {"content-encoding": "gzip"}, gzip.compress(GOOD)[:-9], 400, Refusal.UNDECODABLE),
        (PROTOBUF | {"content-encoding": "gzip"}, b"", 400, Refusal.UNDECODABLE),
        (PROTOBUF | {"content-encoding": "br"}, b"x", 415, Refusal.UNSUPPORTED_MEDIA),
        ({"content-type": "text/plain"}, b"x", 415, Refusal.UNSUPPORTED_MEDIA),
        ({}, b"x", 415, Refusal.UNSUPPORTED_MEDIA),
        (PROTOBUF, bodies.field(1, bodies.field(2, b"\x12\x00" * 50_001)), 413, Refusal.TOO_LARGE),
    ],
)
def test_what_cannot_be_taken_is_refused_for_good(
    service: Service, headers: dict[str, str], content: bytes, status: int, reason: Refusal
) -> None:
    """The sender's mistakes are 400, 413 and 415, with a Status body in the sender's content type, and no hint."""
    answer = post(service, content, headers)
    assert answer.status_code == status
    assert "retry-after" not in answer.headers
    if headers.get("content-type") == "application/json":
        assert answer.json()["message"]
    else:
        assert answer.headers["content-type"] == "application/x-protobuf"
        assert Status.FromString(answer.content).message
    assert service.refused == [reason]
    assert service.store.requests == []


@pytest.mark.parametrize("error", [StoreUnavailable("x"), Overloaded("x"), RuntimeError("canary"), MemoryError()])
@pytest.mark.parametrize(("headers", "content"), [(PROTOBUF, GOOD), (JSON, GOOD_JSON)])
def test_what_is_our_fault_or_passes_is_503_with_a_hint(
    service: Service, error: Exception, headers: dict[str, str], content: bytes
) -> None:
    """Never 500: 503 with Retry-After of at most two seconds, and the same in the Status."""

    def fail(request: DecodedRequest) -> None:
        raise error

    service.store.before = fail
    answer = post(service, content, headers)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] in ("1", "2")
    assert b"canary" not in answer.content
    if headers is PROTOBUF:
        (detail,) = Status.FromString(answer.content).details
        assert RetryInfo.FromString(detail.value).retry_delay.seconds <= 2


def test_dead_letters_are_a_warning_in_either_form(service: Service) -> None:
    """A partial success that rejects nothing, in protobuf and in JSON."""
    deep = bodies.span(2) + bodies.event(b"deep", bodies.nested(48))
    answer = ExportTraceServiceResponse.FromString(post(service, bodies.body(bodies.span(1), deep), PROTOBUF).content)
    assert (answer.partial_success.rejected_spans, bool(answer.partial_success.error_message)) == (0, True)
    given = json.loads(GOOD_JSON)
    given["resourceSpans"][0]["scopeSpans"][0]["spans"].append("no span")
    warned = post(service, json.dumps(given), JSON).json()
    assert list(warned["partialSuccess"]) == ["errorMessage"]


def test_a_body_beyond_the_limit_is_413_with_and_without_a_length(service: Service) -> None:
    """The limit holds for a declared length, for chunks, and for what inflates beyond it."""
    limit = Limits().body_bytes_max
    piece = b"\x00" * 1024 * 1024
    too_large = [piece] * (limit // len(piece)) + [b"\x00"]
    declared = {"content-length": str(limit + 1)}
    assert post(service, iter(too_large), PROTOBUF | declared).status_code == 413
    assert post(service, iter(too_large), PROTOBUF).status_code == 413
    bomb = gzip.compress(b"\x00" * (limit + 1), 1)
    assert post(service, bomb, PROTOBUF | {"content-encoding": "gzip"}).status_code == 413
    assert set(service.refused) == {Refusal.TOO_LARGE}
    assert post(service, GOOD, PROTOBUF).status_code == 200


BOMB = """
import resource, sys, zlib
from cost_exporter.errors import TooLarge
from cost_exporter.receive.admission.inflate import inflate
stream = zlib.compressobj(9, zlib.DEFLATED, 31)
bomb = b"".join(stream.compress(bytes(1024 * 1024)) for _ in range(256)) + stream.flush()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
held = []
try:
    inflate(bomb, "gzip", 64 * 1024 * 1024, held.append)
except TooLarge:
    print("too large")
grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
assert sum(held) <= 64 * 1024 * 1024
assert grown_mib < 100, grown_mib
"""


def test_a_gzip_bomb_is_refused_while_it_inflates() -> None:
    """A quarter MiB that is 256 MiB inside costs no more memory than the limit."""
    done = subprocess.run(
        [sys.executable, "-c", BOMB], capture_output=True, text=True, check=False, timeout=RUN_SECONDS_MAX
    )
    assert (done.returncode, done.stdout) == (0, "too large\n"), done.stderr


def test_other_methods_and_paths_are_not_500(service: Service) -> None:
    """GET on the path is 405, other paths are 404."""
    assert CLIENT.get(service.url).status_code == 405
    assert CLIENT.post(service.url + "/x").status_code == 404


def test_overload_is_only_ever_503_with_a_hint(start: Start) -> None:
    """While all slots are taken, others wait a bounded time and are told to try again."""
    service = start(limits=AdmissionLimits(slots=1, wait_seconds_max=0.2))
    is_in, release = threading.Event(), threading.Event()

    def block(request: DecodedRequest) -> None:
        is_in.set()
        assert release.wait(PATIENCE_SECONDS)

    service.store.before = block
    first: list[httpx.Response] = []
    sender = threading.Thread(target=lambda: first.append(post(service, GOOD, PROTOBUF)))
    sender.start()
    assert is_in.wait(PATIENCE_SECONDS)
    refused = post(service, GOOD, PROTOBUF)
    assert (refused.status_code, refused.headers["retry-after"] in ("1", "2")) == (503, True)
    release.set()
    sender.join(PATIENCE_SECONDS)
    assert first[0].status_code == 200
    assert service.refused == [Refusal.OVERLOADED]


def test_bytes_in_flight_are_bounded(start: Start) -> None:
    """A request that does not fit the byte budget beside another is told to try again."""
    service = start(limits=AdmissionLimits(bytes_max=len(GOOD) + 10, wait_seconds_max=0.2))
    is_in, release = threading.Event(), threading.Event()

    def block(request: DecodedRequest) -> None:
        is_in.set()
        assert release.wait(PATIENCE_SECONDS)

    service.store.before = block
    first: list[httpx.Response] = []
    sender = threading.Thread(target=lambda: first.append(post(service, GOOD, PROTOBUF)))
    sender.start()
    assert is_in.wait(PATIENCE_SECONDS)
    assert post(service, GOOD, PROTOBUF).status_code == 503
    release.set()
    sender.join(PATIENCE_SECONDS)
    assert first[0].status_code == 200


def test_a_slow_body_is_answered_503_and_its_slot_is_free(start: Start) -> None:
    """A body that does not come in time is refused with a status that clients retry: never 408."""
    service = start(
        http_options={"arrivals": Arrivals(seconds_max=0.2)},
        limits=AdmissionLimits(slots=1, wait_seconds_max=PATIENCE_SECONDS),
    )
    with connected(service.http_address) as connection:
        connection.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-protobuf\r\n")
        connection.sendall(b"content-length: 100\r\n\r\nabc")
        assert connection.recv(100).startswith(b"HTTP/1.1 503 ")
    assert service.refused == [Refusal.SLOW_SENDER]
    # Its body may be late as well, where this process waits for a processor: then it is sent again, as by clients.
    wait_until("room for another", lambda: post(service, GOOD, PROTOBUF).status_code == 200)


@pytest.mark.parametrize("sent", [b"", b"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\n"])
def test_a_connection_without_a_request_head_is_closed(start: Start, sent: bytes) -> None:
    """A slow loris is cut off after the time for a head."""
    service = start(header_seconds_max=0.2)
    with connected(service.http_address) as connection, suppress(ConnectionError):
        connection.sendall(sent)  # an error is an end, too: cut off before this was sent, or with a part of it unread
        assert connection.recv(100) == b""


def accepts(address: Address) -> bool:
    try:
        connected(address).close()
    except OSError:
        return False
    return True


def test_stopping_answers_requests_in_flight(service: Service) -> None:
    """SIGTERM drains: what was taken is answered, and the port is closed."""
    is_in, release = threading.Event(), threading.Event()

    def block(request: DecodedRequest) -> None:
        is_in.set()
        assert release.wait(PATIENCE_SECONDS)

    service.store.before = block
    answers: list[httpx.Response] = []
    sender = threading.Thread(target=lambda: answers.append(post(service, GOOD, PROTOBUF)))
    sender.start()
    assert is_in.wait(PATIENCE_SECONDS)
    stopping = threading.Thread(target=service.http.stop)
    stopping.start()
    wait_until("the port is closed", lambda: not accepts(service.http_address))
    release.set()
    sender.join(PATIENCE_SECONDS)
    stopping.join(PATIENCE_SECONDS)
    assert not stopping.is_alive()
    assert answers[0].status_code == 200


def test_an_address_in_use_is_one_line_that_says_how_to_fix_it(service: Service) -> None:
    """A port that is taken is refused by the name of the option."""

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(SettingsError, match=r"^--http: .* is already in use; stop what listens there, or choose"):
        HttpServer(app, option="--http").start(service.http_address)


def test_a_client_that_hangs_up_leaves_nothing_behind(start: Start) -> None:
    """A connection that breaks in the middle of a body frees its slot and stores nothing."""
    service = start(limits=AdmissionLimits(slots=1, wait_seconds_max=PATIENCE_SECONDS))
    with connected(service.http_address) as connection:
        connection.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-protobuf\r\n")
        connection.sendall(b"content-length: 100\r\n\r\nabc")
    assert post(service, GOOD, PROTOBUF).status_code == 200
    assert len(service.store.requests) == 1
