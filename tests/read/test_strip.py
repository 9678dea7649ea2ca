from typing import Any

from cost_exporter.read import wire
from cost_exporter.read.strip import PAYLOAD_BYTES_MAX, is_allowed, strip_content

CANARY = "canary-4915112345678"


def _span() -> Any:
    request = wire.new_request()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = b"t" * 16, b"s" * 8, "chat gpt-4o"
    span.start_time_unix_nano, span.end_time_unix_nano = 1, 2
    span.status.code = 2
    return span


def _stripped(payload: bytes) -> wire.Span:
    return wire.parse_request(payload).resource_spans[0].scope_spans[0].spans[0]


def test_usage_and_identity_survive() -> None:
    """A stripped span can still be read and billed."""
    span = _span()
    span.attributes["gen_ai.usage.input_tokens"].int_value = 12
    span.attributes["gen_ai.system"].string_value = "openai"
    span.attributes["callfare.tenant.id"].string_value = "acme"
    span.attributes["gen_ai.usage.billable"].bool_value = False
    kept = _stripped(strip_content(span))
    assert (kept.trace_id, kept.span_id, kept.name, kept.status.code) == (b"t" * 16, b"s" * 8, "chat gpt-4o", 2)
    assert {name: wire.plain(value) for name, value in kept.attributes.items()} == {
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.system": "openai",
        "callfare.tenant.id": "acme",
        "gen_ai.usage.billable": False,
    }


def test_no_content_survives_wherever_it_was() -> None:
    """Prompts, transcripts, numbers, events and containers are gone, even under names nobody knows."""
    span = _span()
    for name in ("gen_ai.prompt.0.content", "input.value", "telephony.to", "anything", "gen_ai.input.messages"):
        span.attributes[name].string_value = CANARY
    span.attributes["gen_ai.usage.raw_list"].array_value.values.add().string_value = CANARY
    span.attributes["gen_ai.usage.bytes"].bytes_value = CANARY.encode()
    span.events.add().attributes["content"].string_value = CANARY
    assert CANARY.encode() not in strip_content(span)


def test_scope_and_resource_keep_who_sent_it() -> None:
    """The scope's name and the service's name are kept; other resource attributes are not."""
    request = wire.new_request()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes["service.name"].string_value = "bot"
    resource_spans.resource.attributes["host.name"].string_value = CANARY
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "opentelemetry.instrumentation.openai.v1"
    payload = strip_content(_span(), resource_spans.resource, scope_spans.scope)
    kept = wire.parse_request(payload).resource_spans[0]
    assert {name: wire.plain(value) for name, value in kept.resource.attributes.items()} == {"service.name": "bot"}
    assert kept.scope_spans[0].scope.name == "opentelemetry.instrumentation.openai.v1"


def test_the_payload_is_bounded_however_large_the_span() -> None:
    """Thousands of allowed attributes with long values still fit into 64 KiB."""
    span = _span()
    span.name, span.trace_id = "n" * 100_000, b"t" * 100_000
    for index in range(5_000):
        span.attributes[f"callfare.{index}"].string_value = "ü" * 5_000
    payload = strip_content(span)
    assert PAYLOAD_BYTES_MAX * 0.9 < len(payload) <= PAYLOAD_BYTES_MAX


def test_names_are_allowed_by_list_only() -> None:
    """A name that looks like usage elsewhere is not allowed."""
    assert is_allowed("gen_ai.usage.output_tokens")
    assert is_allowed("gen_ai.request.model")
    assert not is_allowed("gen_ai.completion.0.content")
    assert not is_allowed("my.gen_ai.usage.output_tokens")
