"""Spans of a plausible application, and a sender that repeats a batch until it is acknowledged."""

import time
from collections.abc import Iterable, Iterator

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support import otlp
from tests.support.otlp import METHOD, Attributes
from tests.support.waiting import PATIENCE_SECONDS

CHAT: Attributes = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 345,
}


def span(
    trace: int,
    number: int,
    *,
    parent: int = 0,
    name: str = "chat gpt-4o-mini",
    attributes: Attributes = CHAT,
    failed: bool = False,
    duration_seconds: float = 0.5,
) -> Span:
    """Span `number` of trace `trace`; a root where it has no parent."""
    duration_ns = int(duration_seconds * 1e9)
    return otlp.span(
        trace.to_bytes(16, "big"),
        number,
        parent=parent,
        name=name,
        kind=Span.SPAN_KIND_CLIENT if parent else Span.SPAN_KIND_SERVER,
        started_at_unix_ns=time.time_ns() - duration_ns,
        duration_ns=duration_ns,
        attributes=attributes,
        failed=failed,
    )


def conversation(trace: int, *, calls: int = 3, attributes: Attributes = CHAT) -> list[Span]:
    """A root without usage, one database span, and `calls` billable spans under it."""
    root, database = 1, 2
    return [
        span(trace, root, name="POST /chat", attributes={"http.response.status_code": 200}),
        span(trace, database, parent=root, name="SELECT", attributes={"db.system.name": "postgresql"}),
        *(span(trace, database + 1 + call, parent=root, attributes=attributes) for call in range(calls)),
    ]


def batches(
    spans: Iterable[Span], *, size: int, service: str = "shop", resource: Attributes | None = None
) -> Iterator[bytes]:
    """Serialised requests of at most `size` spans."""
    waiting: list[Span] = []
    for each in spans:
        waiting.append(each)
        if len(waiting) == size:
            yield request(waiting, service=service, resource=resource)
            waiting = []
    if waiting:
        yield request(waiting, service=service, resource=resource)


def request(spans: Iterable[Span], *, service: str = "shop", resource: Attributes | None = None) -> bytes:
    """One serialised export request of one application."""
    return otlp.request(spans, scope="shop.llm", resource={"service.name": service, **(resource or {})})


def send(port: int, body: bytes, *, metadata: Iterable[tuple[str, str]] = ()) -> None:
    """Send until acknowledged, as an application with a spool does; every refusal and broken connection is repeated."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            send_once(port, body, metadata=metadata)
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def send_once(
    port: int,
    body: bytes,
    *,
    metadata: Iterable[tuple[str, str]] = (),
    credentials: grpc.ChannelCredentials | None = None,
) -> None:
    """Send, and raise what the receiver answers."""
    options = [("grpc.max_send_message_length", 64 << 20)]
    address = f"127.0.0.1:{port}"
    secure = grpc.secure_channel(address, credentials, options) if credentials else None
    with secure or grpc.insecure_channel(address, options) as channel:
        export = channel.unary_unary(
            METHOD, request_serializer=None, response_deserializer=ExportTraceServiceResponse.FromString
        )
        export(body, timeout=60, metadata=tuple(metadata), compression=grpc.Compression.Gzip)
