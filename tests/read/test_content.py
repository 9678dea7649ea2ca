"""Content: nothing of it enters the facts or a dead letter; and one content has one hash."""

import json
import random
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cost_exporter.read import strip
from cost_exporter.read.otlp import wire
from cost_exporter.read.request import read_request
from cost_exporter.read.strip import PAYLOAD_BYTES_MAX, strip_content
from tests.fixtures import otlp_json
from tests.read.otlp_spans import CHAT, RECEIVED_AT_UNIX_NS, call, document, facts, request
from tests.support.attribute_values import plain

RECORDED = otlp_json.recorded_files("emitters", "voice", "recorded")
OPTIONS: dict[str, Any] = {
    "namespace": "default",
    "received_at_unix_ns": RECEIVED_AT_UNIX_NS,
    "tenant_is_trusted": True,
}
CONTENT = ("be brief", "Hello world", "get_weather", "Welcome to Acme", "hi there", "forty-one characters", "Traceback")


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_no_content_of_the_corpus_enters_the_facts(path: Any) -> None:
    """Prompts, answers, tools, transcripts and stack traces stay out."""
    text = repr(read_request(otlp_json.resource_spans([path]), **OPTIONS))
    assert not [content for content in CONTENT if content in text]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_stripped_spans_of_the_corpus_read_the_same(path: Any) -> None:
    """A dead letter can be replayed: what the span was billed by is still there, and no content is."""
    for each in otlp_json.resource_spans([path]):
        for scope_spans in each.scope_spans:
            for span in scope_spans.spans:
                payload = strip_content(span, scope_spans.scope, each.resource)
                assert len(payload) <= PAYLOAD_BYTES_MAX
                assert not [
                    content for content in CONTENT if content.encode() in payload.replace(span.name.encode(), b"")
                ]
                if span.name in {"HttpxBinaryResponseContent", "audio tts-1", "pipecat.tts"}:
                    continue  # OpenInference and OpenLIT have the characters in the text alone, and the text is content
                replayed = read_request(wire.parse_request(payload).resource_spans, **OPTIONS)
                alone = _alone(each, scope_spans, span)
                assert _without_urls(replayed) == _without_urls(read_request(alone, **OPTIONS))


def _alone(each: wire.ResourceSpans, scope_spans: wire.ScopeSpans, span: wire.Span) -> list[wire.ResourceSpans]:
    whole = wire.new_request()
    target = whole.resource_spans.add()
    target.resource.CopyFrom(each.resource)
    inner = target.scope_spans.add()
    inner.scope.CopyFrom(scope_spans.scope)
    inner.spans.add().CopyFrom(span)
    return list(whole.resource_spans)


def _without_urls(found: Any) -> Any:
    return [(each.usage, each.call_id, each.attribution, each.error_type) for each in found.calls], found.links


def test_a_span_may_be_stripped_alone() -> None:
    """Without scope and resource, and with values of every type."""
    attributes = {
        **CHAT,
        "user.id": "u",
        "gen_ai.request.stream": True,
        "gen_ai.usage.cost": 0.5,
        "session.id": [1],
        "x": "y",
    }
    span = request(document(attributes))[0].scope_spans[0].spans[0]
    (kept,) = wire.parse_request(strip_content(span)).resource_spans[0].scope_spans[0].spans
    left = {key: plain(found) for key, found in kept.attributes.items()}
    assert left == {**CHAT, "user.id": "u", "gen_ai.request.stream": True, "gen_ai.usage.cost": 0.5, "session.id": None}


def test_credentials_in_urls_are_dropped() -> None:
    """Of an address the host is kept."""
    span = request(document({"url.full": "https://u:secret@api.groq.com/v1?key=secret"}))[0].scope_spans[0].spans[0]
    payload = strip_content(span)
    assert b"secret" not in payload
    assert b"api.groq.com" in payload


def test_of_json_the_numbers_and_ids_are_kept() -> None:
    """At any depth up to a bound."""
    output = {
        "id": "r1",
        "text": "secret",
        "usage": {"a": 1, "b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}},
        "x" * 999: 1.5,
    }
    span = request(document({"output.value": json.dumps(output)}))[0].scope_spans[0].spans[0]
    (kept,) = wire.parse_request(strip_content(span)).resource_spans[0].scope_spans[0].spans
    assert json.loads(plain(kept.attributes["output.value"])) == {
        "id": "r1",
        "usage": {"a": 1, "b": {"c": {"d": {"e": {"f": {"g": {"members_left_out": 1}}}}}}},
        "x" * 128: 1.5,
    }


def test_what_is_too_long_is_cut_shorter_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead letter is at most 64 KiB."""
    wanted = [f"callfare.{name}" for name in ("category", "task", "tier")]
    span = request(document(dict.fromkeys(wanted, "x" * 1000)))[0].scope_spans[0].spans[0]
    whole = len(strip_content(span))
    monkeypatch.setattr(strip, "PAYLOAD_BYTES_MAX", whole - 1)
    assert 0 < len(strip_content(span)) < whole - 2000
    monkeypatch.setattr(strip, "PAYLOAD_BYTES_MAX", 10)
    assert strip_content(span) == b""


def test_one_content_has_one_hash_in_every_encoding() -> None:
    """JSON or protobuf, attributes in any order, alone or in a batch."""
    attributes = {**CHAT, "gen_ai.usage.input_tokens": 7, "user.id": "u", "gen_ai.usage.cost": 0.5}
    one = call(attributes)
    shuffled = list(attributes.items())
    random.Random(5).shuffle(shuffled)
    assert call(dict(shuffled)) == one
    message = ExportTraceServiceRequest.FromString(otlp_json.body(document(attributes)))
    as_json = json_format.MessageToDict(message)
    again = json_format.ParseDict(as_json, ExportTraceServiceRequest()).SerializeToString(deterministic=True)
    assert read_request(wire.parse_request(again).resource_spans, **OPTIONS).calls == [one]


def test_the_time_of_receipt_is_not_content() -> None:
    """The same implausible span sent twice is the same span."""
    spans = document(CHAT, startTimeUnixNano="5", endTimeUnixNano="6")
    first, second = (facts(spans, received_at_unix_ns=RECEIVED_AT_UNIX_NS + step).calls[0] for step in (0, 10**12))
    assert first.started_at_unix_ns != second.started_at_unix_ns
    assert first.content_hash == second.content_hash


def test_trust_is_not_content() -> None:
    """What the operator's settings make of a cost is no other content."""
    cost = {**CHAT, "operation.cost": 0.5}
    assert call(cost).content_hash == call(cost, trusted=frozenset({"openai"})).content_hash


@pytest.mark.parametrize(
    ("attributes", "span"),
    [
        ({"gen_ai.usage.input_tokens": 8}, {}),
        ({"gen_ai.response.id": "other"}, {}),
        ({"gen_ai.response.model": "other"}, {}),
        ({"gen_ai.operation.name": "embeddings"}, {}),
        ({"user.id": "other"}, {}),
        ({"error.type": "other"}, {}),
        ({"gen_ai.usage.cost": 1}, {}),
        ({"gen_ai.usage.session.id": "s"}, {}),
        ({"gen_ai.request.stream": True}, {}),
        ({"gen_ai.usage.billable": False}, {}),
        ({}, {"startTimeUnixNano": str(RECEIVED_AT_UNIX_NS - 1)}),
        ({}, {"endTimeUnixNano": str(RECEIVED_AT_UNIX_NS)}),
        ({}, {"parentSpanId": ""}),
        ({}, {"spanId": "aa" * 8}),
        ({}, {"scope": "other"}),
        ({}, {"resource": {"service.name": "other"}}),
        ({}, {"resource": {"service.name": "app", "callfare.tenant.id": "other"}}),
    ],
)
def test_other_content_has_another_hash(attributes: dict[str, Any], span: dict[str, Any]) -> None:
    """Whatever part of the facts differs."""
    assert call({**CHAT, **attributes}, **span).content_hash != call(CHAT).content_hash
