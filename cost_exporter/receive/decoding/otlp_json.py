"""OTLP/JSON -> slim messages, as real exporters send it, not as protobuf's own JSON mapping would have it.

OTLP writes ids as hex and says that unknown fields must be ignored; `json_format` does neither. JavaScript
exporters send 64-bit integers as JSON numbers, NaN as `{"doubleValue": null}` and half surrogate pairs as
escapes. All of this is understood; snake_case names, enums by name and base64 ids too. A span that cannot be
understood becomes a dead letter; the rest of its request stays.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

from cost_exporter.domain.facts import DeadLetter
from cost_exporter.errors import TooLarge, Undecodable
from cost_exporter.read.dead_letter import dead_letter_of
from cost_exporter.read.layout import WANTED
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.attribute_order import is_order_of_stream
from cost_exporter.read.otlp.repair import DETAILS, TOO_DEEP
from cost_exporter.receive.admission.bounds import Limits, require_size
from cost_exporter.receive.decoding.json_depth import cut_deep
from cost_exporter.receive.decoding.json_scalars import TooDeep, enum_number, hex_id, set_value, text, unsigned

__all__ = ["parse_json"]

_MEMORY_BYTES_MAX: Final = 256 * 1024 * 1024
_KEYS_OF_AN_OBJECT: Final = 2
_KEY_BYTES: Final = 180
_KEY_END: Final = re.compile(rb'"[ \t\r\n]*:')
_NO_VALUE: Final = b"\x0a\x7f"
"""Replaces a value that cannot be kept, so that its dead letter shows that there was one."""
_KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUSES: Final = ("UNSET", "OK", "ERROR")


class Parsed(NamedTuple):
    """A request read from JSON."""

    request: wire.Request
    dead_letters: list[DeadLetter]
    """The spans that could not be understood."""
    streamed_spans: frozenset[bytes]
    """Ids of spans that the order of their attributes shows to be of a stream."""


def parse_json(body: bytes, limits: Limits) -> Parsed:
    """Return the request. Raises `TooLarge` or `Undecodable`."""
    require_size(len(body), limits)
    _require_memory(body)
    content = _load(body)
    if not isinstance(content, dict):
        raise Undecodable("OTLP/JSON must be an object with resourceSpans")
    request = wire.new_request()
    dead_letters: list[DeadLetter] = []
    streamed: set[bytes] = set()
    span_count = 0
    for given_resource in _objects(content, "resourceSpans", "resource_spans"):
        resource = request.resource_spans.add()
        _fill_attributes(resource.resource.attributes, _object(given_resource, "resource"))
        for given_scope in _objects(given_resource, "scopeSpans", "scope_spans"):
            scope = resource.scope_spans.add()
            _fill_scope(scope.scope, _object(given_scope, "scope"))
            spans = _list(given_scope, "spans", "spans")
            span_count += len(spans)
            if span_count > limits.spans_max:
                raise TooLarge(f"request holds more than {limits.spans_max} spans; send smaller batches")
            for given in spans:
                _add_span(given, resource, scope, dead_letters)
            streamed.update(_streamed(spans))
    return Parsed(cast("wire.Request", request), dead_letters, frozenset(streamed))


def _streamed(spans: list[Any]) -> Iterator[bytes]:
    for given in spans:
        if isinstance(given, dict) and is_order_of_stream(
            name for name, _ in _key_values(cast("dict[str, Any]", given))
        ):
            yield hex_id(given.get("spanId", given.get("span_id")))


def _require_memory(body: bytes) -> None:
    """Refuse what would take more memory than a request may: a one-key object of 8 bytes is 200 in Python.

    That holds the first keys of an object. Each further one is a string and a place in the object's table.
    """
    objects = body.count(b"{")
    values_bytes = 200 * objects + 90 * body.count(b"[") + 60 * body.count(b",")
    more_keys = body.count(b":") - _KEYS_OF_AN_OBJECT * objects
    if values_bytes + _KEY_BYTES * more_keys > _MEMORY_BYTES_MAX:  # or these are texts with colons in them
        more_keys = sum(1 for _ in _KEY_END.finditer(body)) - _KEYS_OF_AN_OBJECT * objects
    if values_bytes + _KEY_BYTES * max(0, more_keys) > _MEMORY_BYTES_MAX:
        raise TooLarge("OTLP/JSON request holds too many values; send smaller batches, or protobuf")


def _load(body: bytes) -> Any:
    document = body.decode("utf-8-sig", "replace")
    try:
        return json.loads(document, parse_int=_number)
    except ValueError as error:
        raise Undecodable(f"not JSON: {error.args[0] if error.args else 'malformed'}") from error
    except RecursionError:
        return _load_deep(document)


def _number(digits: str) -> int | float:
    """Return the integer; one of more digits than Python converts is infinite for us, not a malformed document."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _load_deep(document: str) -> Any:
    try:
        return json.loads(cut_deep(document), parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise Undecodable("not JSON: nested too deeply") from error


def _list(given: dict[str, Any], camel: str, snake: str) -> list[Any]:
    found = given.get(camel)
    if found is None:
        found = given.get(snake)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Undecodable(f"OTLP/JSON: {camel} must be a list")
    return cast("list[Any]", found)


def _objects(given: dict[str, Any], camel: str, snake: str) -> Iterator[dict[str, Any]]:
    for each in _list(given, camel, snake):
        if not isinstance(each, dict):
            raise Undecodable(f"OTLP/JSON: {camel} must hold objects")
        yield cast("dict[str, Any]", each)


def _object(given: dict[str, Any], name: str) -> dict[str, Any]:
    found = given.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _fill_scope(scope: Any, given: dict[str, Any]) -> None:
    scope.name, scope.version = text(given.get("name")), text(given.get("version"))
    _fill_attributes(scope.attributes, given)


def _fill_attributes(attributes: Any, given: dict[str, Any]) -> None:
    """Fill from resource or scope: what is wrong or too deep is left out, the spans do not depend on it."""
    for key, value in _key_values(given):
        try:
            set_value(attributes[key], value)
        except TooDeep:
            del attributes[key]


def _key_values(given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    attributes = given.get("attributes")
    for each in cast("list[Any]", attributes) if isinstance(attributes, list) else ():
        if isinstance(each, dict) and isinstance(key := cast("dict[str, Any]", each).get("key"), str):
            yield text(key), each.get("value")


def _add_span(given: Any, resource: Any, scope: Any, dead_letters: list[DeadLetter]) -> None:
    span = scope.spans.add()
    reason, detail = "undecodable_span", "the span is not a JSON object"
    if isinstance(given, dict):
        try:
            reason, detail = _fill_span(span, cast("dict[str, Any]", given)), DETAILS[TOO_DEEP]
        except Exception as error:  # noqa: BLE001 - a fault of ours with one span costs no other
            reason, detail = "our_fault", f"{type(error).__name__} in decoding"
    if reason:
        dead_letters.append(dead_letter_of(span, scope.scope, resource.resource, reason=reason, detail=detail))
        del scope.spans[-1]


def _fill_span(span: Any, given: dict[str, Any]) -> str:
    """Fill the span; return why it cannot be kept, "" if it can."""
    span.trace_id = hex_id(given.get("traceId", given.get("trace_id")))
    span.span_id = hex_id(given.get("spanId", given.get("span_id")))
    span.parent_span_id = hex_id(given.get("parentSpanId", given.get("parent_span_id")))
    span.name = text(given.get("name"))
    span.kind = enum_number(given.get("kind"), "SPAN_KIND_", _KINDS)
    span.flags = unsigned(given.get("flags"), 32)
    span.start_time_unix_nano = unsigned(given.get("startTimeUnixNano", given.get("start_time_unix_nano")), 64)
    span.end_time_unix_nano = unsigned(given.get("endTimeUnixNano", given.get("end_time_unix_nano")), 64)
    status = _object(given, "status")
    span.status.code = enum_number(status.get("code"), "STATUS_CODE_", _STATUSES)
    span.status.message = text(status.get("message")).encode()
    return _fill_span_values(span, given)


def _fill_span_values(span: Any, given: dict[str, Any]) -> str:
    reason = ""
    for key, value in _key_values(given):
        encoded = wire.new_value()
        try:
            set_value(encoded, value)
        except TooDeep:
            if key in WANTED:  # what nobody reads is left out
                reason = TOO_DEEP
                span.attributes[key] = _NO_VALUE
        else:
            span.attributes[key] = encoded.SerializeToString()
    events = given.get("events")
    for each in cast("list[Any]", events) if isinstance(events, list) else ():
        if isinstance(each, dict):
            event = span.events.add()
            event.name = text(cast("dict[str, Any]", each).get("name"))
            _fill_attributes(event.attributes, cast("dict[str, Any]", each))
    return reason
