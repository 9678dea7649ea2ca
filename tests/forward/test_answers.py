"""Spans count as taken only where an OTLP receiver says so."""

import threading
from collections.abc import Generator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from cost_exporter.forward.answers import ANSWER_BYTES_MAX, NotOtlp, Taken, read_answer
from cost_exporter.forward.transport import transport_for

PROTOBUF, JSON = "application/x-protobuf", "application/json"


def partial(rejected: int, reason: str = "") -> bytes:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = reason
    return answer.SerializeToString()


@pytest.mark.parametrize(
    ("content", "content_type", "taken"),
    [
        (b"", PROTOBUF, Taken()),
        (b"", "", Taken()),
        (b"", "text/plain", Taken()),
        (partial(0), PROTOBUF, Taken()),
        (partial(3, "too old"), PROTOBUF, Taken(rejected_count=3, reason="too old")),
        (partial(0, "held"), "Application/Protobuf; x=y", Taken(reason="held")),
        (b"{}", JSON, Taken()),
        (b'{"partialSuccess": null, "new": 1}', JSON, Taken()),
        (
            b'{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}}',
            "application/json; charset=utf-8",
            Taken(rejected_count=3, reason="too old"),
        ),
        (partial(1, "\x1b[2Jno\nline"), PROTOBUF, Taken(rejected_count=1, reason="[2Jno line")),
    ],
)
def test_an_answer_of_otlp_is_read(content: bytes, content_type: str, taken: Taken) -> None:
    """As protobuf or JSON, with a partial success or without; its text may stand in a log line."""
    assert read_answer(content, content_type) == taken


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"<html>log in</html>", "text/html"),
        (b"", "text/html; charset=utf-8"),
        (b"ok", "text/plain"),
        (b"<html>log in</html>", PROTOBUF),
        (partial(-1), PROTOBUF),
        (partial(3)[:-1], PROTOBUF),
        (partial(3), ""),
        (b"[]", JSON),
        (b'"ok"', JSON),
        (b"{", JSON),
        (b"\xff", JSON),
        (b'{"partialSuccess": []', JSON),
        (b'{"partialSuccess": "no"}', JSON),
        (b'{"partialSuccess": {"rejectedSpans": "many"}}', JSON),
        (b'{"partialSuccess": {"rejectedSpans": -1}}', JSON),
        (b'{"partialSuccess": {"rejectedSpans": 1e999}}', JSON),
        (b"[" * 20_000, JSON),
        (bytes(ANSWER_BYTES_MAX + 1), PROTOBUF),
    ],
)
def test_anything_else_is_not_taken(content: bytes, content_type: str) -> None:
    """A login page, a proxy's greeting, a broken answer: the spans stay in the outbox."""
    with pytest.raises(NotOtlp):
        read_answer(content, content_type)


@contextmanager
def answering(status: int, headers: dict[str, str], content: bytes) -> Generator[tuple[str, list[tuple[str, str]]]]:
    """A server that gives this answer to each POST, and a login page to each GET; and what it was asked."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(("POST", self.path))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            asked.append(("GET", self.path))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    """A redirect is no delivery, wherever it leads, and only the endpoint itself is called."""
    with answering(status, {"Location": "/login"}, b"") as (endpoint, asked):
        with pytest.raises(NotOtlp, match=f"HTTP {status}.*CALLFARE_FORWARD_ENDPOINT"):
            transport_for(endpoint).send(b"")
        assert asked == [("POST", "/v1/traces")]


def test_a_partial_success_is_read_over_http() -> None:
    """The count comes from the body of the answer."""
    with answering(200, {"Content-Type": PROTOBUF}, partial(2, "no")) as (endpoint, _):
        assert transport_for(endpoint).send(b"") == Taken(rejected_count=2, reason="no")


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"Content-Type": "text/html"}, b"<html>log in</html>"),
        ({"Content-Type": PROTOBUF, "Content-Length": "50"}, partial(0)),
        ({"Content-Type": PROTOBUF}, bytes(2 * ANSWER_BYTES_MAX)),
        ({"Content-Type": PROTOBUF, "Transfer-Encoding": "chunked"}, b"zz\r\n"),
    ],
)
def test_a_page_or_a_broken_answer_is_not_a_delivery(headers: dict[str, str], content: bytes) -> None:
    """200 alone proves nothing."""
    with answering(200, headers, content) as (endpoint, _), pytest.raises(OSError):  # noqa: PT011 - all are passing
        transport_for(endpoint).send(b"")


@pytest.mark.parametrize(("answer", "taken"), [(partial(2, "no"), Taken(rejected_count=2, reason="no")), (b"<", None)])
def test_an_answer_over_grpc_is_read(answer: bytes, taken: Taken | None) -> None:
    """As over HTTP: the partial success counts, and what is not OTLP's is no delivery."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    transport = transport_for(f"http://127.0.0.1:{port}")
    try:
        if taken is None:
            with pytest.raises(NotOtlp):
                transport.send(b"")
        else:
            assert transport.send(b"") == taken
    finally:
        transport.close()
        server.stop(None).wait()
