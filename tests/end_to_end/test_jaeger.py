"""The real Jaeger on the shipped configuration, behind the real Collector: what a person can find there."""

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.end_to_end import otlp_sender
from tests.end_to_end.binaries import needs_go
from tests.end_to_end.otlp_sink import OtlpSink
from tests.end_to_end.running import Jaeger, RunCollector
from tests.support import otlp
from tests.support.waiting import wait_until

pytestmark = needs_go

DEAR = {
    "gen_ai.usage.cost.amount": 1.25,
    "callfare.cost.amount": "1.250000",
    "callfare.cost.bucket": "1-10usd",
    "callfare.cost.status": "priced",
}


def test_spans_with_their_cost_are_found_by_tag(run_collector: RunCollector, jaeger: Jaeger, cost: OtlpSink) -> None:
    """A dear trace, an unpriced one and one tenant's are each found by the exact tag, and no other trace is."""
    collector = run_collector(["base", "dev"], view=jaeger.otlp)
    cases = {
        1: DEAR,
        2: {"callfare.cost.status": "unpriced"},
        3: {"callfare.tenant.id": "acme"},
        4: {},
    }
    for trace, tags in cases.items():
        spans = otlp_sender.conversation(trace, attributes={**otlp_sender.CHAT, **tags})
        otlp_sender.send(collector.grpc, otlp_sender.request(spans))
    # Jaeger shows a trace from its first span on.
    wait_until(
        "all traces whole",
        lambda: all(len(_span_ids(jaeger, trace)) == len(otlp_sender.conversation(trace)) for trace in cases),
    )
    assert len(jaeger.trace_ids("shop")) == len(cases)
    assert jaeger.trace_ids("shop", {"callfare.cost.bucket": "1-10usd"}) == {f"{1:032x}"}
    assert jaeger.trace_ids("shop", {"callfare.cost.status": "unpriced"}) == {f"{2:032x}"}
    assert jaeger.trace_ids("shop", {"callfare.tenant.id": "acme"}) == {f"{3:032x}"}
    assert jaeger.trace_ids("shop", {"callfare.cost.bucket": "over-100usd"}) == set()


def test_the_exact_amount_is_on_the_span(run_collector: RunCollector, jaeger: Jaeger, cost: OtlpSink) -> None:
    """Both the number for the eye and the exact text come out of Jaeger's API as they went in."""
    collector = run_collector(["base", "dev"], view=jaeger.otlp)
    spans = otlp_sender.conversation(5, calls=1, attributes={**otlp_sender.CHAT, **DEAR})
    otlp_sender.send(collector.grpc, otlp_sender.request(spans))
    wait_until("the whole trace", lambda: len(_span_ids(jaeger, 5)) == len(spans))
    shown = jaeger.spans(f"{5:032x}")
    assert len(shown) == len(spans)
    (priced,) = [each for each in shown if each["name"].startswith("chat")]
    attributes = {each["key"]: each["value"] for each in priced["attributes"]}
    assert attributes["callfare.cost.amount"] == {"stringValue": "1.250000"}
    assert attributes["gen_ai.usage.cost.amount"] == {"doubleValue": 1.25}


def test_a_trace_over_the_hop_is_whole_and_single(run_collector: RunCollector, jaeger: Jaeger, cost: OtlpSink) -> None:
    """Direct spans and enriched ones meet in one trace; no span is shown twice."""
    collector = run_collector(["base", "dev", "cost-on-span"], view=jaeger.otlp)
    spans = otlp_sender.conversation(6)
    otlp_sender.send(collector.grpc, otlp_sender.request(spans))
    wait_until("the cost side", lambda: len(cost.arrived) == len(spans))
    forwarded = [each for each in cost.spans if _is_marked(each)]
    for each in forwarded:
        kept = [a for a in each.attributes if a.key != "callfare.view"]
        del each.attributes[:]
        each.attributes.extend([*kept, *otlp.key_values(DEAR)])
    otlp_sender.send(collector.enriched, otlp_sender.request(forwarded))
    wait_until("the whole trace", lambda: len(_span_ids(jaeger, 6)) == len(spans))
    shown = [each["spanId"] for each in jaeger.spans(f"{6:032x}")]
    assert sorted(shown) == sorted(each.span_id.hex() for each in spans)
    assert jaeger.trace_ids("shop", {"callfare.cost.bucket": "1-10usd"}) == {f"{6:032x}"}


def test_its_pages_link_to_the_cost(jaeger: Jaeger) -> None:
    """Jaeger has read ui.json: each trace links to its cost page."""
    assert "http://127.0.0.1:4319/workflows/#{traceID}" in jaeger.page()


def _span_ids(jaeger: Jaeger, trace: int) -> set[str]:
    return {each["spanId"] for each in jaeger.spans(f"{trace:032x}")}


def _is_marked(span: Span) -> bool:
    return any((a.key, a.value.string_value) == ("callfare.view", "hop") for a in span.attributes)
