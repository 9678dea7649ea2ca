"""Who gets what of a trace that the application's sampler drops."""

from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from callfare import attributes as names
from callfare.export.otlp import CostOtlpExporter
from callfare.provider import hook


class Sent(OTLPSpanExporter):
    """An application's own variety of the OTLP exporter, as one that redacts; this one keeps what it would send."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


def provider_with(sampler: Sampler, *exporters: SpanExporter) -> TracerProvider:
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    hook.install(provider)
    for exporter in exporters:  # after us, as an application does that adds its own by hand
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def unsampled_remote_parent() -> SpanContext:
    state = TraceState([("vendor", "kept")])
    return SpanContext(trace_id=7, span_id=8, is_remote=True, trace_flags=TraceFlags(0), trace_state=state)


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, TraceIdRatioBased(0), ParentBased(ALWAYS_ON)])
def test_the_bill_gets_everything_and_others_what_they_got_before(sampler) -> None:
    """A trace that the sampler drops, or that its caller did not sample: OTLP has it, marked; the other has nothing."""
    ordinary, otlp = InMemorySpanExporter(), Sent()
    tracer = provider_with(sampler, ordinary, otlp).get_tracer("t")
    parent = trace.set_span_in_context(NonRecordingSpan(unsampled_remote_parent()))
    with tracer.start_as_current_span("call", parent, attributes={"own": 1}) as span:
        assert not span.get_span_context().trace_flags.sampled
        tracer.start_span("below").end()
    assert ordinary.get_finished_spans() == ()
    assert [each.name for each in otlp.spans] == ["below", "call"]
    assert all(each.attributes is not None and each.attributes[names.SAMPLED] is False for each in otlp.spans)
    (call,) = [each for each in otlp.spans if each.name == "call"]
    assert call.attributes is not None
    assert call.attributes["own"] == 1
    assert call.context is not None
    assert (call.context.trace_id, call.context.trace_state.get("vendor")) == (7, "kept")


def test_sampled_spans_are_exported_once_each_and_unmarked() -> None:
    """Recording everything changes nothing about them."""
    ordinary, otlp = InMemorySpanExporter(), Sent()
    provider_with(ALWAYS_ON, ordinary, otlp).get_tracer("t").start_span("call").end()
    assert len(ordinary.get_finished_spans()) == len(otlp.spans) == 1
    assert otlp.spans[0].attributes is not None
    assert names.SAMPLED not in otlp.spans[0].attributes


def test_with_an_exporter_of_ours_otlp_is_an_ordinary_one() -> None:
    """It leads to a trace store then, and sees what it saw before."""
    stored, billed = Sent(), Sent()
    provider_with(ALWAYS_OFF, stored, CostOtlpExporter(billed)).get_tracer("t").start_span("call").end()
    assert (len(stored.spans), len(billed.spans)) == (0, 1)


def test_an_unsampled_span_records() -> None:
    """Instrumentations that ask write their usage on it."""
    assert provider_with(ALWAYS_OFF).get_tracer("t").start_span("call").is_recording()
