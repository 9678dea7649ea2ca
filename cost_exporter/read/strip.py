"""Strip a span of its content: what a dead letter keeps, so that the span can be replayed and nothing leaks.

An allow-list. Kept are the attributes that reading wants; of those that hold JSON only the numbers, and the
few texts that are ids or names. Prompts, transcripts, URLs, events and links are gone.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from cost_exporter.read.fields.failure import http_status_in_words
from cost_exporter.read.fields.usage_containers import UNREADABLE, is_unread, may_hold_usage
from cost_exporter.read.fields.vendor_usage import LEFT_OUT, object_of
from cost_exporter.read.layout import WANTED
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.attribute_values import SpanAttributes
from cost_exporter.read.otlp.values import clean_text, number_of, text_of
from cost_exporter.read.vocabulary.aliases import QUANTITY_ALIASES, TEXT_KEYS
from cost_exporter.read.vocabulary.names import names_of
from cost_exporter.read.vocabulary.usage_names import holds_usage, is_service_tier, may_show_value, speaks_of_usage

__all__ = ["JSON_KEYS", "PAYLOAD_BYTES_MAX", "strip_content"]

PAYLOAD_BYTES_MAX: Final = 64 * 1024
JSON_KEYS: Final = frozenset(
    {
        "output.value",
        "llm.invocation_parameters",
        "embedding.invocation_parameters",
        "gen_ai.usage.raw",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "langfuse.observation.model.parameters",
        "langfuse.observation.usage_details",
        "langfuse.observation.cost_details",
        "langwatch.params",
        "usage",
        "metadata.usage_object",
        "lk.tts_metrics",
        "lk.stt_metrics",
        "lk.realtime_model_metrics",
        "langwatch.metrics",
        "metadata",
        "ai.response.providerMetadata",
        "gcp.vertex.agent.llm_response",
        "mlflow.chat.tokenUsage",
        "mlflow.spanOutputs",
        "haystack.component.output",
        "genkit:output",
    }
)
_ADDRESS_KEYS: Final = frozenset({"url.full", "gen_ai.openai.api_base"})
"""They may hold credentials and queries; the host of them is kept."""
_JSON_TEXTS: Final = frozenset(
    {"id", "model", "service_tier", "serviceTier", "type", "ls_provider", "model_name", "model_provider"}
    | {"modality", "ttl", "speed", "inference_geo"}
)
_JSON_DEPTH_MAX: Final = 6
_JSON_ITEMS_MAX: Final = 64
_SHORT: Final = 128
_EVENTS_MAX: Final = 4
_ABSURD: Final = 10**30
"""Larger integers are kept as this, which is as absurd: Python refuses to write the longest of them."""
_PRICED_BY: Final = frozenset(key for alias in QUANTITY_ALIASES for key in alias.keys).union(
    TEXT_KEYS["request_model"], TEXT_KEYS["response_model"]
)
"""Only here: elsewhere a word of ours would be somebody's name, or the id of a call."""


def strip_content(span: wire.Span, scope: wire.Scope | None = None, resource: wire.Resource | None = None) -> bytes:
    """Return an ExportTraceServiceRequest with this one span, content stripped, at most 64 KiB; b"" if it cannot be."""
    for text_length_max in (None, _SHORT, 0):
        payload = _request(span, scope, resource, text_length_max)
        if len(payload) <= PAYLOAD_BYTES_MAX:
            return payload
    return b""


def _request(
    span: wire.Span, scope: wire.Scope | None, resource: wire.Resource | None, text_length_max: int | None
) -> bytes:
    request = wire.new_request()
    resource_spans = request.resource_spans.add()
    if resource is not None:
        for key, kept_value in _stripped(resource.attributes, text_length_max):
            resource_spans.resource.attributes[key].CopyFrom(kept_value)
    scope_spans = resource_spans.scope_spans.add()
    if scope is not None:
        scope_spans.scope.name = clean_text(scope.name)
        scope_spans.scope.version = clean_text(scope.version)[:_SHORT]
    kept = scope_spans.spans.add()
    kept.trace_id, kept.span_id, kept.parent_span_id = span.trace_id[:32], span.span_id[:32], span.parent_span_id[:32]
    kept.name = clean_text(span.name)[:_SHORT]
    kept.kind = span.kind
    kept.start_time_unix_nano = span.start_time_unix_nano
    kept.end_time_unix_nano = span.end_time_unix_nano
    kept.status.code = span.status.code
    if http_status := http_status_in_words(span):
        kept.status.message = b"status code %d" % http_status  # a refusal stays one; the words may quote a prompt
    for key, kept_value in _stripped(SpanAttributes(span.attributes), text_length_max):
        kept.attributes[key] = kept_value.SerializeToString()
    _copy_exceptions(span, kept)
    return cast("bytes", request.SerializeToString(deterministic=True))


def _stripped(attributes: wire.Attributes, text_length_max: int | None) -> Iterator[tuple[str, Any]]:
    """Yield names and values of what is kept. What is wrong with one of them costs no other."""
    wanted = (WANTED | {"service.name"}).intersection(attributes)
    for key in sorted(wanted | {key for key in attributes if speaks_of_usage(key)}):
        try:
            kept = _stripped_value(key, attributes[key], text_length_max)
        except Exception:  # noqa: BLE001 - UnreadableValue, or a fault of ours; the others are kept
            if key not in _PRICED_BY:
                continue
            kept = wire.new_value(string_value=UNREADABLE)
        yield "server.address" if key in _ADDRESS_KEYS else key, kept


def _stripped_value(key: str, source: wire.AnyValue, text_length_max: int | None) -> Any:
    target = wire.new_value()
    if key in _ADDRESS_KEYS:
        target.string_value = names_of("", "", "", text_of(source)).host
    elif key in JSON_KEYS or holds_usage(key) or (may_show_value(key) and object_of(source)):
        is_lost = holds_usage(key) and not object_of(source) and is_unread(key, source)
        target.string_value = UNREADABLE if is_lost else _distilled(source)
    elif key in WANTED or key == "service.name" or is_service_tier(key) or _is_flag_or_number(source):
        _copy_value(source, target, text_length_max)
    elif may_hold_usage(key, source):
        target.string_value = UNREADABLE
    return target


def _is_flag_or_number(source: wire.AnyValue) -> bool:
    return source.WhichOneof("value") == "bool_value" or number_of(source) is not None


def _copy_value(source: wire.AnyValue, target: Any, text_length_max: int | None) -> None:
    kind = source.WhichOneof("value")
    if kind == "string_value":
        target.string_value = text_of(source)[:text_length_max]
    elif kind in {"int_value", "double_value", "bool_value"}:
        setattr(target, kind, getattr(source, kind))


def _copy_exceptions(source: wire.Span, target: Any) -> None:
    for event in source.events[-_EVENTS_MAX:]:
        found = event.attributes.get("exception.type")
        if event.name == "exception" and found is not None:
            copied = target.events.add(name="exception")
            copied.attributes["exception.type"].string_value = text_of(found)[:_SHORT]


def _distilled(source: wire.AnyValue) -> str:
    """Return a JSON text with only the numbers and ids of an object: a map, or the JSON or Python repr of one."""
    return json.dumps(_numbers(object_of(source), _JSON_DEPTH_MAX))


def _numbers(members: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, found in list(members.items())[:_JSON_ITEMS_MAX]:
        if not isinstance(name, str):  # a Python repr may have keys of any kind
            continue
        if isinstance(found, Mapping) and depth:
            kept[name[:_SHORT]] = _numbers(cast("Mapping[Any, Any]", found), depth - 1)
        elif isinstance(found, Mapping) and found:
            kept[name[:_SHORT]] = {LEFT_OUT: 1}
        elif isinstance(found, list) and found:
            if first := _numbers_of_all(cast("list[Any]", found), depth):
                kept[name[:_SHORT]] = first
        elif isinstance(found, bool | float) or (isinstance(found, str) and name in _JSON_TEXTS):
            kept[name[:_SHORT]] = clean_text(found)[:_SHORT] if isinstance(found, str) else found
        elif isinstance(found, int):
            kept[name[:_SHORT]] = max(-_ABSURD, min(_ABSURD, found))
    if len(members) > _JSON_ITEMS_MAX:
        kept[LEFT_OUT] = len(members) - _JSON_ITEMS_MAX
    return kept


def _numbers_of_all(entries: list[Any], depth: int) -> list[Any]:
    """Return the objects of a list, distilled: LangChain's answers are lists of lists of one, of which the first is."""
    first = entries[0]
    if isinstance(first, list) and first:
        first = cast("list[Any]", first)[0]
        return [_numbers_of_all([first], depth)] if isinstance(first, Mapping) else []
    if not depth:
        return [{LEFT_OUT: 1}] if isinstance(first, Mapping) else []
    objects = (each for each in entries[:_JSON_ITEMS_MAX] if isinstance(each, Mapping))
    return [_numbers(cast("Mapping[str, Any]", each), depth - 1) for each in objects]
