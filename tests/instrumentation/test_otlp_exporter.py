"""`OTEL_TRACES_EXPORTER=callfare_otlp` against real receivers: the cost is on the spans, and no span is ever lost."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from callfare.export.otlp import CostOtlpExporter
from tests.end_to_end.otlp_sink import OtlpSink
from tests.instrumentation.fakes.otlp import OtlpFake, attributes_of
from tests.support.waiting import RUN_SECONDS_MAX

ROOT = Path(__file__).parents[2]
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 1_000,
    "gen_ai.usage.output_tokens": 100,
}
CALL_USD = D("0.15") * 1_000 / 1_000_000 + D("0.60") * 100 / 1_000_000


def make_spans(exporter: CostOtlpExporter) -> None:
    """One call with an event and a link, and one span that costs nothing, exported one by one."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("shop", "1.2")
    with tracer.start_as_current_span("GET /") as request, tracer.start_as_current_span("chat") as call:
        call.set_attributes(CALL)
        call.add_event("first token", {"n": 1})
        call.add_link(request.get_span_context())


@pytest.fixture(params=["grpc", "http"])
def sink(request, monkeypatch) -> Iterator[OtlpSink | OtlpFake]:
    """A real receiver of either protocol, named by the ordinary variables."""
    if request.param == "grpc":
        with OtlpSink() as receiver:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
            yield receiver
    else:
        with OtlpFake() as receiver:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
            yield receiver


def test_a_call_goes_out_with_its_cost_and_is_else_as_it_was(sink) -> None:
    """Both protocols: cost attributes on the paid call, none on the other; ids, events and links unchanged."""
    exporter = CostOtlpExporter()
    make_spans(exporter)
    exporter.shutdown()
    call, request = sink.spans
    found = attributes_of(call)
    assert found | CALL == found
    assert found["gen_ai.usage.cost.amount"] == float(CALL_USD)
    assert D(found["callfare.cost.amount"]) == CALL_USD
    assert (found["gen_ai.usage.cost.currency"], found["callfare.cost.status"]) == ("USD", "priced")
    assert attributes_of(request) == {}
    assert (call.name, call.parent_span_id, [event.name for event in call.events]) == (
        "chat",
        request.span_id,
        ["first token"],
    )
    assert [link.span_id for link in call.links] == [request.span_id]
    assert call.trace_id == request.trace_id


def test_a_call_told_in_part_goes_out_as_partial(sink, monkeypatch) -> None:
    """Without its output a chat costs what is known, and says that this is not all."""
    monkeypatch.delitem(CALL, "gen_ai.usage.output_tokens")
    exporter = CostOtlpExporter()
    make_spans(exporter)
    exporter.shutdown()
    found = attributes_of(sink.spans[0])
    assert (found["callfare.cost.status"], D(found["callfare.cost.amount"])) == (
        "partial",
        D("0.15") * 1_000 / 1_000_000,
    )


def test_the_traces_protocol_wins(monkeypatch) -> None:
    """The variable for traces decides over the one for all signals, as in OpenTelemetry."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    exporter = CostOtlpExporter()
    assert type(exporter._delegate).__module__ == "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    exporter.shutdown()


def test_a_failure_to_price_loses_no_span_and_no_later_cost(caplog) -> None:
    """What breaks while pricing is said once, without its text; the spans go out, and the next batch is priced."""
    received = InMemorySpanExporter()
    exporter = CostOtlpExporter(received)
    price = exporter._costs_of

    def broken(request: bytes) -> dict:
        raise RuntimeError("canary")

    exporter._costs_of = broken
    make_spans(exporter)
    exporter._costs_of = price
    make_spans(exporter)
    spans = received.get_finished_spans()
    assert [span.name for span in spans] == ["chat", "GET /"] * 2
    assert ["callfare.cost.amount" in (span.attributes or {}) for span in spans] == [False, False, True, False]
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == "spans go out without their cost: RuntimeError while pricing a batch"


def test_refusals_of_the_receiver_are_the_ordinary_exporters() -> None:
    """The result of the delegate is ours: the SDK counts a failed export as failed."""

    class Refusing(InMemorySpanExporter):
        def export(self, spans):
            return SpanExportResult.FAILURE

    assert CostOtlpExporter(Refusing()).export([]) is SpanExportResult.FAILURE


def test_disabled_prices_nothing(monkeypatch, caplog) -> None:
    """CALLFARE_DISABLED: the ordinary exporter and nothing else."""
    monkeypatch.setenv("CALLFARE_DISABLED", "1")
    received = InMemorySpanExporter()
    with caplog.at_level(logging.WARNING):
        make_spans(CostOtlpExporter(received))
    assert dict(received.get_finished_spans()[0].attributes or {}) == CALL
    assert caplog.records == []


MISSING_EXTRA = """
import sys
sys.modules["genai_prices"] = sys.modules["pydantic_settings"] = sys.modules["yaml"] = None  # as without the extra
sys.path.insert(0, ".")
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.instrumentation.test_otlp_exporter import CostOtlpExporter, make_spans
received = InMemorySpanExporter()
exporter = CostOtlpExporter(received)
make_spans(exporter)
make_spans(exporter)
print(len(received.get_finished_spans()))
"""


def test_a_missing_extra_is_said_once() -> None:
    """Without `callfare[exporter]` every span goes out, and one line says what to install."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")])
    done = subprocess.run(
        [sys.executable, "-c", MISSING_EXTRA],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS_MAX,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr
    assert done.stderr.count("pip install 'callfare[exporter]'") == 1
