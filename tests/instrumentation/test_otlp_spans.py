"""Spans read back from disk are what the ordinary exporter would have sent in the first place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from callfare.export.otlp_spans import spans_of
from tests.fixtures.otlp_json import body, documents, recorded_files

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
integers = st.integers(-(2**63), 2**63 - 1)
scalars = st.none() | st.booleans() | integers | st.floats(allow_nan=False) | words | st.binary(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))
attributes = st.dictionaries(words, values, max_size=4)
times = st.integers(0, 2**64 - 1)
contexts = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.just(TraceFlags(TraceFlags.SAMPLED)),
    st.sampled_from([None, TraceState([("a", "1"), ("b", "x y")])]),
)
spans = st.builds(
    ReadableSpan,
    name=words,
    context=contexts,
    parent=st.none() | contexts,
    resource=st.builds(Resource, attributes, words),
    attributes=attributes,
    events=st.lists(st.builds(Event, words, attributes, times), max_size=2),
    links=st.lists(st.builds(Link, contexts, attributes), max_size=2),
    kind=st.sampled_from(SpanKind),
    status=st.builds(Status, st.sampled_from([StatusCode.UNSET, StatusCode.OK]))
    | st.builds(Status, st.just(StatusCode.ERROR), words),
    start_time=times,
    end_time=times,
    instrumentation_scope=st.builds(InstrumentationScope, words, words, words, attributes),
)


@given(st.lists(spans, max_size=3))
def test_encoding_what_was_read_back_gives_the_same_bytes(made) -> None:
    """Ids, names, times, kinds, nested values of every type, events, links, states: whatever the SDK can say."""
    encoded = encode_spans(made)
    assert encode_spans(spans_of(encoded.SerializeToString())) == encoded


@pytest.mark.parametrize("path", recorded_files("emitters", "recorded", "voice"), ids=lambda path: path.stem)
def test_spans_of_every_emitter_come_back(path) -> None:
    """What real instrumentations recorded, span by span; counts of what they dropped are the exception."""
    for document in documents(path):
        given_ = body(document)
        assert each_span(given_) == each_span(encode_spans(spans_of(given_)).SerializeToString())


def each_span(encoded: bytes) -> list[str]:
    found: list[str] = []
    for resource in ExportTraceServiceRequest.FromString(encoded).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                span.dropped_attributes_count = span.dropped_events_count = span.flags = 0
                for link in span.links:
                    link.flags = 0
                found.append(f"{resource.resource} {scope.scope.name} {scope.scope.version} {span}")
    return sorted(found)
