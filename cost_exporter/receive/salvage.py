"""Save the good spans of a request that the decoder refuses as a whole (semantics 22 and 25).

upb gives up a whole request for one byte of invalid UTF-8, or for one value nested 48 deep. Here its spans are
taken apart on the wire and decoded one by one. Invalid UTF-8 becomes U+FFFD. A span that cannot be mended
becomes a dead letter, without what cannot be decoded, so that it can still be replayed. This path is slow,
and only taken by requests that would be lost otherwise.
"""

from typing import Any, Final

from cost_exporter.domain.facts import DeadLetter
from cost_exporter.domain.value import value
from cost_exporter.errors import Undecodable
from cost_exporter.read import wire
from cost_exporter.read.strip import strip_content
from cost_exporter.receive.wire_shape import LENGTH_DELIMITED, Field, Shape, fields_of, request_shape, varint

__all__ = ["salvage"]

_DEPTH_MAX: Final = 97
"""Messages within each other, a span being the first: with the three around it that makes upb's limit of 100."""
_TRACE_ID_BYTES: Final = 16
_TOO_DEEP = "too_deep"
_UNDECODABLE = "undecodable_span"
_DETAILS = {
    _TOO_DEEP: "an attribute is nested too deeply; the rest of the span is kept here",
    _UNDECODABLE: "the span is not valid protobuf; what could be read of it is kept here",
}
_RESOURCE_SPANS: Final = request_shape().messages[1]
_RESOURCE: Final = _RESOURCE_SPANS.messages[1]
_SCOPE_SPANS: Final = _RESOURCE_SPANS.messages[2]
_SCOPE: Final = _SCOPE_SPANS.messages[1]
_SPAN: Final = _SCOPE_SPANS.messages[2]


class _TooDeep(Exception):
    pass


@value
class _Mended:
    body: bytes
    reason: str = ""
    """Why a part had to be left out; "" if nothing was."""


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
            _merge(kept.resource, _mend(body[field.content : field.end], _RESOURCE))
    for field in fields:
        if field.number == 2:  # noqa: PLR2004 - scope_spans
            _salvage_scope_spans(body, field, kept, dead_letters)


def _salvage_scope_spans(body: bytes, outer: Field, resource: Any, dead_letters: list[DeadLetter]) -> None:
    kept = resource.scope_spans.add()
    fields = [field for field in fields_of(body, outer.content, outer.end) if field.wire_type == LENGTH_DELIMITED]
    for field in fields:
        if field.number == 1:
            _merge(kept.scope, _mend(body[field.content : field.end], _SCOPE))
    for field in fields:
        if field.number == 2:  # noqa: PLR2004 - spans
            _salvage_span(body[field.content : field.end], resource, kept, dead_letters)


def _merge(target: Any, mended: _Mended) -> None:
    """Fill a resource or scope; without it rather than not at all, for its spans do not depend on it."""
    try:
        target.MergeFromString(mended.body)
    except wire.DecodeError:
        target.Clear()


def _salvage_span(body: bytes, resource: Any, scope: Any, dead_letters: list[DeadLetter]) -> None:
    span = _decoded(body)
    if span is not None:
        scope.spans.append(span)
        return
    mended = _mend(body, _SPAN)
    span = _decoded(mended.body)
    if span is None:
        dead_letters.append(DeadLetter(reason=_UNDECODABLE, detail="nothing of the span could be read"))
    elif mended.reason:
        dead_letters.append(_dead_letter(mended.reason, span, resource, scope))
    else:
        scope.spans.append(span)


def _decoded(span: bytes) -> Any:
    """Return the span; None where the decoder refuses it. Decoded in a request of its own: depth counts from there."""
    in_scope = _field(2, span)
    try:
        return wire.parse_request(_field(1, _field(2, in_scope))).resource_spans[0].scope_spans[0].spans[0]
    except wire.DecodeError:
        return None


def _dead_letter(reason: str, span: wire.Span, resource: Any, scope: Any) -> DeadLetter:
    return DeadLetter(
        reason=reason,
        detail=_DETAILS[reason],
        trace_id=bytes(span.trace_id[:_TRACE_ID_BYTES]),
        span_id=bytes(span.span_id[:_TRACE_ID_BYTES]),
        payload=strip_content(span, scope=scope.scope, resource=resource.resource),
    )


def _mend(body: bytes, shape: Shape) -> _Mended:
    """Return the message with its text made valid, without the fields that cannot be."""
    kept = bytearray()
    reason = ""
    try:
        for field in fields_of(body, 0, len(body)):
            try:
                kept += _mended_field(body, field, shape, depth=1)
            except _TooDeep:
                reason = _TOO_DEEP
            except Undecodable:
                reason = reason or _UNDECODABLE
    except Undecodable:
        reason = reason or _UNDECODABLE
    return _Mended(body=bytes(kept), reason=reason)


def _mended_field(body: bytes, field: Field, shape: Shape, depth: int) -> bytes:
    if field.wire_type != LENGTH_DELIMITED:
        return body[field.start : field.end] if field.wire_type != 3 else b""  # noqa: PLR2004 - a group: nobody reads it
    content = body[field.content : field.end]
    if field.number in shape.strings:
        content = content.decode("utf-8", "replace").encode()
    elif field.number in shape.messages:
        content = _mended_message(content, shape.messages[field.number], depth + 1)
    return _field(field.number, content)


def _field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(content)) + content


def _mended_message(body: bytes, shape: Shape, depth: int) -> bytes:
    if depth > _DEPTH_MAX:
        raise _TooDeep
    return b"".join(_mended_field(body, field, shape, depth) for field in fields_of(body, 0, len(body)))
