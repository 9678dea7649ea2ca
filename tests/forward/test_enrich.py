"""A span leaves with its cost on it, and without what people said."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.settling.settle import settle
from cost_exporter.domain.span import SpanKey
from cost_exporter.forward.enrich import cost_attributes, cost_bucket, describe_cost
from cost_exporter.forward.outgoing import outgoing_spans
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.otlp_bytes import framed_span, trace_request
from tests.domain.builders import call, facts, key, price_by_sum
from tests.receive import bodies


def record(**changes: object) -> CostRecord:
    settled = settle(facts(call("chat")), price_by_sum)[key("chat")]
    return replace(settled, book_version="v1", **changes)  # pyright: ignore[reportArgumentType]


def attributes_of(span: Span) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def request_with(attributes: Mapping[str, str | int], *, has_event: bool = False) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "agent"
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "scope.a"
    trace_id, span_id = key("chat")
    span = scope_spans.spans.add(name="chat", trace_id=trace_id, span_id=span_id, trace_state="a=b", kind=3)
    span.links.add(trace_id=trace_id, span_id=b"linked!!")
    for name, content in attributes.items():
        value = span.attributes.add(key=name).value
        if isinstance(content, int):
            value.int_value = content
        else:
            value.string_value = content
    if has_event:
        span.events.add(name="gen_ai.user.message").attributes.add(key="content").value.string_value = "secret"
    return request


def forwarded(request: ExportTraceServiceRequest, *, keeps_content: bool = False) -> Span:
    """The span as the backend gets it."""
    decoded = wire.parse_request(request.SerializeToString())
    outgoing = outgoing_spans(decoded.resource_spans, {key("chat")}, keeps_content=keeps_content)[key("chat")]
    enriched = framed_span(outgoing.span + cost_attributes(record()))
    got = ExportTraceServiceRequest.FromString(trace_request(outgoing.resource, outgoing.scope, [enriched]))
    (resource_spans,) = got.resource_spans
    assert attributes_of(resource_spans.resource) == {"service.name": "agent"}  # pyright: ignore[reportArgumentType]
    (scope_spans,) = resource_spans.scope_spans
    assert scope_spans.scope.name == "scope.a"
    (span,) = scope_spans.spans
    return span


def test_a_span_leaves_with_its_cost() -> None:
    """Amount as a double for display, the exact figure as text, and what search by equality needs."""
    span = forwarded(request_with({"gen_ai.usage.input_tokens": 1200}))
    assert attributes_of(span) == {
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.cost.amount": 0.001545,
        "gen_ai.usage.cost.currency": "USD",
        "gen_ai.usage.cost.source": "local",
        "callfare.cost.amount": "0.001545",
        "callfare.cost.status": "priced",
        "callfare.cost.bucket": "0.001-0.01usd",
        "callfare.cost.category": "uncategorised",
        "callfare.cost.book_version": "v1",
        "callfare.tenant.id": "default",
    }


def test_what_nobody_here_reads_survives() -> None:
    """Fields the slim schema does not declare go out as they came in."""
    span = forwarded(request_with({}))
    assert (span.trace_state, span.kind, len(span.links)) == ("a=b", 3, 1)


@pytest.mark.parametrize("name", ["gen_ai.prompt.0.content", "gen_ai.input.messages", "input.value", "text"])
def test_content_stays_behind(name: str) -> None:
    """Known content attributes and all events are dropped."""
    span = forwarded(request_with({name: "secret", "gen_ai.request.model": "gpt-4o"}, has_event=True))
    assert b"secret" not in span.SerializeToString()
    assert attributes_of(span)["gen_ai.request.model"] == "gpt-4o"


def test_the_message_of_an_error_stays_behind() -> None:
    """A validation error quotes the answer that did not fit; that the call failed goes on."""
    request = request_with({"gen_ai.request.model": "gpt-4o"})
    (span,) = request.resource_spans[0].scope_spans[0].spans
    span.status.code, span.status.message = 2, "input_value='secret'"  # pyright: ignore[reportAttributeAccessIssue]
    assert (forwarded(request).status.code, forwarded(request).status.message) == (2, "")
    assert forwarded(request, keeps_content=True).status.message == "input_value='secret'"


def test_an_operator_may_keep_content() -> None:
    """With the explicit word content and events go on."""
    span = forwarded(request_with({"input.value": "secret"}, has_event=True), keeps_content=True)
    assert attributes_of(span)["input.value"] == "secret"
    assert len(span.events) == 1


def test_values_that_a_backend_would_refuse_are_mended_or_left_behind() -> None:
    """Nobody here reads most values: one bad byte must not cost a whole request on its way out."""
    request = request_with({"gen_ai.request.model": "gpt-4o"})
    (span,) = request.resource_spans[0].scope_spans[0].spans
    spoilt = bodies.attribute(b"other", bodies.field(1, b"a\xffb")) + bodies.attribute(b"broken", b"\x0a\x7f")
    decoded = wire.parse_request(trace_request(b"", b"", [framed_span(span.SerializeToString() + spoilt)]))
    outgoing = outgoing_spans(decoded.resource_spans, {key("chat")})[key("chat")]
    assert attributes_of(Span.FromString(outgoing.span)) == {"gen_ai.request.model": "gpt-4o", "other": "a\ufffdb"}


def test_a_mark_that_cannot_be_read_is_none() -> None:
    """Then the span goes out if it is a call."""
    (span,) = request_with({}).resource_spans[0].scope_spans[0].spans
    spoilt = framed_span(span.SerializeToString() + bodies.attribute(b"callfare.view", b"\x0a\x7f"))
    for calls in (set[SpanKey](), {key("chat")}):
        decoded = wire.parse_request(trace_request(b"", b"", [spoilt]))
        assert set(outgoing_spans(decoded.resource_spans, calls)) == calls


@pytest.mark.parametrize(
    ("mark", "is_call", "is_sent"),
    [
        ("", True, True),
        ("", False, False),
        ("hop", True, True),
        ("hop", False, True),
        ("direct", True, False),
        ("direct", False, False),
    ],
)
def test_marks_decide_where_there_are_any(mark: str, is_call: bool, is_sent: bool) -> None:
    """A Collector that splits its traffic says which spans take the hop; without a mark these are the calls."""
    request = request_with({"callfare.view": mark} if mark else {})
    decoded = wire.parse_request(request.SerializeToString())
    outgoing = outgoing_spans(decoded.resource_spans, {key("chat")} if is_call else set())
    assert list(outgoing) == ([key("chat")] if is_sent else [])
    assert all(b"callfare.view" not in each.span for each in outgoing.values())


def test_what_a_span_said_of_its_cost_before_is_replaced() -> None:
    """A backend sees one value under a name of ours."""
    span = forwarded(request_with({"callfare.cost.amount": "9", "callfare.tenant.id": "forged"}))
    assert [each.value.string_value for each in span.attributes if each.key == "callfare.cost.amount"] == ["0.001545"]
    assert [each.value.string_value for each in span.attributes if each.key == "callfare.tenant.id"] == ["default"]


def test_an_unknown_cost_has_no_amount() -> None:
    """Unknown is not zero, in Jaeger neither."""
    unknown = Span.FromString(cost_attributes(record(status="unpriced", cost_usd=None)))
    attributes = attributes_of(unknown)
    assert (attributes["callfare.cost.status"], attributes["callfare.cost.bucket"]) == ("unpriced", "unknown")
    assert "gen_ai.usage.cost.amount" not in attributes
    duplicate = Span.FromString(cost_attributes(record(status="duplicate", cost_usd=None)))
    assert attributes_of(duplicate)["callfare.cost.bucket"] == "duplicate"


def test_a_cost_the_vendor_stated_says_so() -> None:
    """The conventions tell a provider's figure from a computed one."""
    reported = Span.FromString(cost_attributes(record(status="reported")))
    assert attributes_of(reported)["gen_ai.usage.cost.source"] == "provider"


@pytest.mark.parametrize(
    ("cost", "bucket"),
    [("0", "<0.001usd"), ("0.001", "0.001-0.01usd"), ("0.5", "0.1-1usd"), ("1", "1-10usd"), ("100", ">=100usd")],
)
def test_buckets_are_half_open(cost: str, bucket: str) -> None:
    """A bound belongs to the bucket above it."""
    assert cost_bucket(D(cost)) == bucket


@pytest.mark.parametrize("cost_usd", [None, D(0), D("0.00000000012"), D("999999999999.123456789012")])
@pytest.mark.parametrize("tenant", ["default", "", "Käse", "x" * 300])
def test_the_bytes_say_what_is_described(cost_usd: D | None, tenant: str) -> None:
    """What is put together from remembered parts is what a decoder finds, value for value."""
    priced = record(cost_usd=cost_usd, tenant=tenant, status="unpriced" if cost_usd is None else "priced")
    assert attributes_of(Span.FromString(cost_attributes(priced))) == dict(describe_cost(priced))


def test_more_keys_than_are_remembered_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was learned of keys is bounded, and may be forgotten at any time."""
    monkeypatch.setattr("cost_exporter.forward.outgoing._KEYS_REMEMBERED_MAX", 2)
    kept = {f"app.{number}": "kept" for number in range(5)}
    for _ in range(2):
        span = forwarded(request_with({**kept, "gen_ai.prompt.0.content": "secret", "text": "secret"}))
        assert {key: text for key, text in attributes_of(span).items() if key.startswith("app.")} == kept
        assert b"secret" not in span.SerializeToString()
