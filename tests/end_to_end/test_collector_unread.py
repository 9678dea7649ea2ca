"""Usage under an unknown name that the real Collector removes: its record does not look whole."""

import re

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cost_exporter.prices import load_book
from cost_exporter.read.otlp import wire
from cost_exporter.read.request import read_request
from cost_exporter.read.vocabulary.usage_names import is_service_tier, is_surely_usage
from tests.collector_config import layers
from tests.end_to_end import otlp_sender
from tests.end_to_end.binaries import needs_go
from tests.end_to_end.otlp_sink import OtlpSink
from tests.end_to_end.running import RunCollector
from tests.fixtures import otlp_json
from tests.support.waiting import wait_until

pytestmark = needs_go

PRODUCTION = ("redact",)
"""The layer of `production.yaml` that takes anything away."""
COUNTS = (
    *("usage", "mlflow.chat.tokenUsage", "langsmith.metadata.usage_metadata"),
    *("gen_ai.usage.input_token_details", "gen_ai.usage.output_token_details"),
)
"""Attributes that are objects of counts."""


def test_a_removed_name_that_speaks_of_usage_makes_the_record_partial(
    run_collector: RunCollector, cost: OtlpSink
) -> None:
    """The Collector tells the names of what it removed, never the values; others do nothing.

    So it does of an object of counts in which there is a text as well, which is removed whole.
    """
    assert set(PRODUCTION) <= set(layers.shapes()["production"])
    collector = run_collector(["base", "dev", *PRODUCTION])
    counted = {**otlp_sender.CHAT, "gen_ai.usage.input_tokens": 5000, "gen_ai.usage.output_tokens": 100}
    unknown = {"gen_ai.usage.cached_foo_tokens": 4480, "gen_ai.input.messages": "hello", "app.version": 3}
    spans = [
        otlp_sender.span(1, 2, parent=1, attributes=counted | unknown),
        otlp_sender.span(1, 3, parent=1, attributes=counted | {"gen_ai.input.messages": "hello"}),
        *(
            otlp_sender.span(1, number, parent=1, attributes=counted | {name: '{"cached": 4480, "said": "hello"}'})
            for number, name in enumerate(COUNTS, start=4)
        ),
    ]
    otlp_sender.send(collector.grpc, otlp_sender.request(spans))
    wait_until("the spans", lambda: len(cost.arrived) == len(spans))
    arrived = ExportTraceServiceRequest(resource_spans=cost.resource_spans).SerializeToString()
    assert b"4480" not in arrived
    assert b"hello" not in arrived
    read = read_request(
        wire.parse_request(arrived).resource_spans,
        namespace="default",
        received_at_unix_ns=max(span.end_time_unix_nano for span in spans),
        tenant_is_trusted=True,
    )
    calls = {call.span_id[-1]: call for call in read.calls}
    assert calls[2].issues == ("unread_usage: gen_ai.usage.cached_foo_tokens (redacted)",)
    assert calls[3].issues == ()
    others = range(4, 4 + len(COUNTS))
    assert {calls[number].issues for number in others} == {("unread_usage: callfare.unread.usage (redacted)",)}
    book = load_book()
    statuses = {number: book.price_of_call(call.usage).status for number, call in calls.items()}
    assert statuses == {2: "partial", 3: "priced"} | dict.fromkeys(others, "partial")


def test_what_the_recorded_emitters_say_of_usage_passes() -> None:
    """No name in the corpus that speaks of usage is removed: it would make each of its records partial."""
    redaction = layers.load("redact")["processors"]["redaction/cost"]
    patterns = redaction["ignored_key_patterns"]
    names = {
        name
        for path in otlp_json.recorded_files("emitters", "voice", "recorded", "foreign")
        for each in otlp_json.resource_spans([path])
        for scope_spans in each.scope_spans
        for span in scope_spans.spans
        for name in span.attributes
    }
    removed = {name for name in names - set(redaction["allowed_keys"]) if not any(re.search(p, name) for p in patterns)}
    assert {name for name in removed if is_surely_usage(name) or is_service_tier(name)} == set()
