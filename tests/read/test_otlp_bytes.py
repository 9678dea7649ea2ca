"""Requests put together and taken apart as bytes are what protobuf makes of them."""

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cost_exporter.read.otlp.otlp_bytes import field, framed_span, halves_of, trace_request

RESOURCE = Resource(dropped_attributes_count=7).SerializeToString()
SCOPE = InstrumentationScope(name="scope").SerializeToString()


def request_of(*spans: bytes) -> bytes:
    return trace_request(RESOURCE, SCOPE, [framed_span(span) for span in spans])


def test_a_request_is_what_protobuf_reads() -> None:
    """Resource, scope and spans come out as they went in."""
    (resource_spans,) = ExportTraceServiceRequest.FromString(
        request_of(*(Span(name=name).SerializeToString() for name in "abc"))
    ).resource_spans
    (group,) = resource_spans.scope_spans
    assert resource_spans.resource == Resource.FromString(RESOURCE)
    assert group.scope.name == "scope"
    assert [span.name for span in group.spans] == ["a", "b", "c"]


@pytest.mark.parametrize("size_bytes", [0, 1, 127, 128, 300, 16_383, 16_384, 2**21])
def test_a_field_of_any_size_is_what_protobuf_reads(size_bytes: int) -> None:
    """The length in front is a varint."""
    assert Span.FromString(field(5, b"x" * size_bytes)).name == "x" * size_bytes


@pytest.mark.parametrize("sizes", [(0, 1), (127, 128, 16_384), (1,) * 7])
def test_halves_hold_the_same_spans_byte_for_byte(sizes: tuple[int, ...]) -> None:
    """Splitting changes no span, loses none, and keeps resource and scope."""
    spans = [bytes([number]) * size for number, size in enumerate(sizes)]
    middle = len(spans) // 2
    assert halves_of(request_of(*spans)) == [request_of(*spans[:middle]), request_of(*spans[middle:])]


def test_one_span_has_no_halves() -> None:
    """It stays what it is."""
    assert halves_of(request_of(b"span")) == [request_of(b"span")]
