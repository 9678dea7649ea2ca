"""Spans and export requests of OTLP for tests, from plain Python values: by opentelemetry's own messages."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

__all__ = ["METHOD", "Attributes", "key_values", "request", "span"]

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
Scalar = str | int | float | bool | Decimal
Attributes = Mapping[str, Scalar]
_SECOND_NS = 10**9


def span(
    trace_id: bytes,
    span_id: int | bytes,
    *,
    parent: int | bytes = b"",
    name: str = "openai.chat",
    started_at_unix_ns: int,
    duration_ns: int = _SECOND_NS,
    attributes: Attributes | None = None,
    kind: Span.SpanKind = Span.SPAN_KIND_UNSPECIFIED,
    failed: bool = False,
) -> Span:
    """Return a span; ids are given as bytes or as numbers, and parent 0 or b"" makes a root."""
    return Span(
        trace_id=trace_id,
        span_id=_id(span_id),
        parent_span_id=_id(parent) if parent else b"",
        name=name,
        kind=kind,
        start_time_unix_nano=started_at_unix_ns,
        end_time_unix_nano=started_at_unix_ns + duration_ns,
        attributes=key_values(attributes or {}),
        status=Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET),
    )


def request(
    spans: Iterable[Span],
    *,
    scope: str = "opentelemetry.instrumentation.openai.v1",
    resource: Attributes | None = None,
) -> bytes:
    """Return a serialised request with the spans of one scope of one application."""
    message = ExportTraceServiceRequest()
    resource_spans = message.resource_spans.add()
    resource_spans.resource.attributes.extend(key_values(resource or {}))
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = scope
    scope_spans.spans.extend(spans)
    return message.SerializeToString()


def key_values(attributes: Attributes) -> list[KeyValue]:
    """Return attributes as OTLP has them; a Decimal is a double."""
    return [KeyValue(key=key, value=_any(value)) for key, value in attributes.items()]


def _any(value: Scalar) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float() | Decimal():
            return AnyValue(double_value=float(value))
        case _:
            return AnyValue(string_value=value)


def _id(number: int | bytes) -> bytes:
    return number if isinstance(number, bytes) else number.to_bytes(8, "big")
