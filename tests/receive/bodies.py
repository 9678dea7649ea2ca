"""OTLP bodies for tests: good ones by opentelemetry's own messages, bad ones byte by byte."""

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cost_exporter.domain.facts import DeadLetter
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.wire_shape import varint
from tests.support import otlp

NOW_UNIX_NS = 1_790_000_000_123_456_789


def trace_id(number: int) -> bytes:
    return (number + 1).to_bytes(16, "big")


def span_id(number: int) -> bytes:
    return (number + 1).to_bytes(8, "big")


def span(number: int, *, tokens: int = 12) -> bytes:
    """Return the bytes of a good span."""
    made = otlp.span(
        trace_id(0),
        span_id(number),
        name="chat gpt-4o",
        kind=Span.SPAN_KIND_CLIENT,
        started_at_unix_ns=NOW_UNIX_NS,
        duration_ns=1_000_000,
        attributes={
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": tokens,
        },
    )
    return made.SerializeToString()


def field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def attribute(key: bytes, value: bytes) -> bytes:
    """Return an attribute of a span with the raw bytes of its AnyValue."""
    return field(9, field(1, key) + field(2, value))


def event(key: bytes, value: bytes) -> bytes:
    """Return an event of a span that has one attribute, with the raw bytes of its AnyValue."""
    return field(11, field(3, field(1, key) + field(2, value)))


def nested(levels: int) -> bytes:
    """Return an AnyValue of so many arrays around an integer."""
    value = b"\x18\x01"
    for _ in range(levels):
        value = field(5, field(1, value))
    return value


def body(*spans: bytes, resource: bytes = b"", scope: bytes = b"") -> bytes:
    """Return a request with one resource, one scope and the raw bytes of its spans."""
    scope_spans = field(1, scope) + b"".join(field(2, each) for each in spans)
    return field(1, field(1, resource) + field(2, scope_spans))


def request_of(content: bytes) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(content)


def spans_of(resource_spans: object) -> list[wire.Span]:
    return [each for rs in resource_spans for ss in rs.scope_spans for each in ss.spans]  # type: ignore[attr-defined]


def payload_span(letter: DeadLetter) -> wire.Span:
    """Return the span that a dead letter keeps."""
    return spans_of(wire.parse_request(letter.payload).resource_spans)[0]
