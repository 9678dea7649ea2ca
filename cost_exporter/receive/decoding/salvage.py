"""Save the good spans of a request that the decoder refuses as a whole (rules 22 and 25).

Its spans are split on the wire, decoded one by one and repaired if necessary (`read/otlp/repair.py`). A span that
cannot be repaired becomes a dead letter without the undecodable part, so that it can still be replayed. This path is
slow, and only used for requests that would be lost otherwise.
"""

from typing import Any, Final

from cost_exporter.domain.facts import DeadLetter
from cost_exporter.errors import Undecodable
from cost_exporter.read.dead_letter import dead_letter_of
from cost_exporter.read.otlp import otlp_bytes, wire
from cost_exporter.read.otlp.repair import DETAILS, UNDECODABLE, RepairedMessage, repair
from cost_exporter.read.otlp.wire_shape import LENGTH_DELIMITED, Field, fields_of, shape_of

__all__ = ["salvage"]

_TRACE_ID_BYTES: Final = 16
_RESOURCE_SPANS: Final = shape_of("Request", has_values=False).messages[1]
_RESOURCE: Final = _RESOURCE_SPANS.messages[1]
_SCOPE_SPANS: Final = _RESOURCE_SPANS.messages[2]
_SCOPE: Final = _SCOPE_SPANS.messages[1]
_SPAN: Final = _SCOPE_SPANS.messages[2]


def salvage(body: bytes) -> tuple[wire.Request, list[DeadLetter]]:
    """Return the spans that can be saved, and dead letters for the others. Raises `Undecodable` if there are none."""
    request = wire.new_request()
    dead_letters: list[DeadLetter] = []
    for field in fields_of(body, 0, len(body)):
        if field.number == 1 and field.wire_type == LENGTH_DELIMITED:
            _salvage_resource_spans(body, field, request.resource_spans.add(), dead_letters)
    has_good = any(scope.spans for resource in request.resource_spans for scope in resource.scope_spans)
    if not has_good and not any(len(letter.trace_id) == _TRACE_ID_BYTES for letter in dead_letters):
        raise Undecodable("not an ExportTraceServiceRequest: nothing in it looks like a span")
    return request, dead_letters


def _salvage_resource_spans(body: bytes, outer: Field, kept: Any, dead_letters: list[DeadLetter]) -> None:
    fields = [field for field in fields_of(body, outer.content, outer.end) if field.wire_type == LENGTH_DELIMITED]
    for field in fields:  # the resource first: a dead letter wants to know it
        if field.number == 1:
            _merge(kept.resource, repair(body[field.content : field.end], _RESOURCE))
    for field in fields:
        if field.number == 2:  # noqa: PLR2004 - scope_spans
            _salvage_scope_spans(body, field, kept, dead_letters)


def _salvage_scope_spans(body: bytes, outer: Field, resource: Any, dead_letters: list[DeadLetter]) -> None:
    kept = resource.scope_spans.add()
    fields = [field for field in fields_of(body, outer.content, outer.end) if field.wire_type == LENGTH_DELIMITED]
    for field in fields:
        if field.number == 1:
            _merge(kept.scope, repair(body[field.content : field.end], _SCOPE))
    for field in fields:
        if field.number == 2:  # noqa: PLR2004 - spans
            try:
                _salvage_span(body[field.content : field.end], resource, kept, dead_letters)
            except Exception as error:  # noqa: BLE001 - a fault of ours with one span costs no other
                dead_letters.append(DeadLetter(reason="our_fault", detail=f"{type(error).__name__} in salvaging"))


def _merge(target: Any, repaired: RepairedMessage) -> None:
    """Fill a resource or scope; without it rather than not at all, for its spans do not depend on it."""
    try:
        target.MergeFromString(repaired.body)
    except wire.DecodeError:
        target.Clear()


def _salvage_span(body: bytes, resource: Any, scope: Any, dead_letters: list[DeadLetter]) -> None:
    span = _decoded(body)
    if span is not None:
        scope.spans.append(span)
        return
    repaired = repair(body, _SPAN)
    span = _decoded(repaired.body)
    if span is None:
        dead_letters.append(DeadLetter(reason=UNDECODABLE, detail="nothing of the span could be read"))
    elif repaired.reason:
        detail = DETAILS[repaired.reason]
        dead_letters.append(dead_letter_of(span, scope.scope, resource.resource, reason=repaired.reason, detail=detail))
    else:
        scope.spans.append(span)


def _decoded(span: bytes) -> Any:
    """Return the span; None where the decoder refuses it. Decoded in a request of its own: depth counts from there."""
    request = otlp_bytes.trace_request(b"", b"", [otlp_bytes.framed_span(span)])
    try:
        return wire.parse_request(request).resource_spans[0].scope_spans[0].spans[0]
    except wire.DecodeError:
        return None
