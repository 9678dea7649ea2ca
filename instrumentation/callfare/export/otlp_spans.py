"""A serialised ExportTraceServiceRequest back into the SDK's spans, so that the ordinary exporter can send it.

Encoding what comes out gives the bytes that went in, apart from the counts of dropped attributes, events and links,
which the SDK keeps where nobody can put them. Raises `DecodeError` where the bytes are no request.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

__all__ = ["DecodeError", "spans_of"]

_IS_REMOTE = 0x200
_KINDS = (
    SpanKind.INTERNAL,  # unspecified, as OTLP has it
    SpanKind.INTERNAL,
    SpanKind.SERVER,
    SpanKind.CLIENT,
    SpanKind.PRODUCER,
    SpanKind.CONSUMER,
)


def spans_of(body: bytes) -> list[ReadableSpan]:
    """Return the spans of a request that `encode_spans` made."""
    request = ExportTraceServiceRequest.FromString(body)
    return [span for resource_spans in request.resource_spans for span in _of_resource(resource_spans)]


def _of_resource(resource_spans: Any) -> Iterator[ReadableSpan]:
    resource = Resource(_attributes(resource_spans.resource.attributes), resource_spans.schema_url or None)
    for scope_spans in resource_spans.scope_spans:
        scope = InstrumentationScope(
            scope_spans.scope.name,
            scope_spans.scope.version,
            scope_spans.schema_url,
            _attributes(scope_spans.scope.attributes),
        )
        for span in scope_spans.spans:
            yield _span(span, resource, scope)


def _span(span: Any, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    parent = None
    if span.parent_span_id:
        parent = _context(span.trace_id, span.parent_span_id, is_remote=bool(span.flags & _IS_REMOTE))
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id, is_remote=False, trace_state=span.trace_state),
        parent=parent,
        resource=resource,
        attributes=_attributes(span.attributes),
        events=[Event(event.name, _attributes(event.attributes), event.time_unix_nano) for event in span.events],
        links=[_link(link) for link in span.links],
        kind=_KINDS[span.kind] if span.kind < len(_KINDS) else SpanKind.INTERNAL,
        status=Status(StatusCode(span.status.code), span.status.message or None),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        instrumentation_scope=scope,
    )


def _link(link: Any) -> Link:
    context = _context(link.trace_id, link.span_id, is_remote=bool(link.flags & _IS_REMOTE))
    return Link(context, _attributes(link.attributes))


def _context(trace_id: bytes, span_id: bytes, *, is_remote: bool, trace_state: str = "") -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        is_remote,
        TraceFlags(TraceFlags.SAMPLED),
        TraceState.from_header([trace_state]) if trace_state else None,
    )


def _attributes(pairs: Sequence[Any]) -> Mapping[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind)
