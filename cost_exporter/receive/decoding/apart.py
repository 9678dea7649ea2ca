"""Split a request so that it can be tried in parts: an error in one span then affects no other.

Only used for a batch that would otherwise be lost, so it is simple rather than fast. No span is decoded here: the parts
of protobuf are bytes, those of JSON are any JSON value.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple, cast

from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import ReceiveError
from cost_exporter.read.otlp.otlp_bytes import framed_span, trace_request
from cost_exporter.read.otlp.wire_shape import LENGTH_DELIMITED, fields_of
from cost_exporter.receive.decoding.decode import Encoding
from cost_exporter.receive.decoding.json_scalars import hex_id

__all__ = ["Piece", "joined", "pieces_of", "taken_in_parts"]

_TRACE_ID, _SPAN_ID = 1, 2  # in Span
_FIRST, _SECOND = 1, 2  # resource and scope_spans, scope and spans
_ID_BYTES_MAX: Final = 32


class Piece(NamedTuple):
    """One span as it came, with its resource and its scope."""

    resource: Any
    scope: Any
    span: Any
    trace_id: bytes
    span_id: bytes


def pieces_of(body: bytes, encoding: Encoding) -> list[Piece]:
    """Return the spans of a request one by one; none where it cannot be taken apart."""
    try:
        return list(_json_pieces(body) if encoding is Encoding.JSON else _protobuf_pieces(body))
    except Exception:  # noqa: BLE001 - it may be malformed in any way: the decoder has failed on it
        return []


def joined(pieces: Sequence[Piece], encoding: Encoding) -> bytes:
    """Return a request with these spans."""
    if encoding is Encoding.JSON:
        resource_spans = [
            {"resource": group[0].resource, "scopeSpans": [{"scope": group[0].scope, "spans": [x.span for x in group]}]}
            for group in _groups(pieces)
        ]
        return json.dumps({"resourceSpans": resource_spans}).encode()
    return b"".join(
        trace_request(group[0].resource, group[0].scope, [framed_span(each.span) for each in group])
        for group in _groups(pieces)
    )


def taken_in_parts(
    pieces: Sequence[Piece], take: Callable[[Sequence[Piece]], Receipt], may_blame: Callable[[Exception], bool]
) -> tuple[list[Receipt], list[Piece]]:
    """Take the halves, the halves of what failed, and so on; return the receipts, and the spans that failed alone.

    An exception that may not be blamed on the spans ends it: what was taken until then is known when it comes again.
    """
    receipts: list[Receipt] = []
    failed: list[Piece] = []
    waiting = [pieces]
    while waiting:
        part = waiting.pop()
        try:
            receipts.append(take(part))
        except Exception as error:
            if not may_blame(error):
                raise
            middle = len(part) // 2
            if middle:
                waiting += [part[middle:], part[:middle]]
            else:
                failed += part
    return receipts, failed


def _groups(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Yield neighbours of one resource and scope together: these may be much larger than a span."""
    for _, group in groupby(pieces, lambda each: (id(each.resource), id(each.scope))):
        yield list(group)


def _protobuf_pieces(body: bytes) -> Iterator[Piece]:
    for resource_spans in _parts(body, _FIRST):
        resource = b"".join(_parts(resource_spans, _FIRST))
        for scope_spans in _parts(resource_spans, _SECOND):
            scope = b"".join(_parts(scope_spans, _FIRST))
            for span in _parts(scope_spans, _SECOND):
                yield Piece(resource, scope, span, _id_of(span, _TRACE_ID), _id_of(span, _SPAN_ID))


def _parts(message: bytes, number: int) -> Iterator[bytes]:
    for field in fields_of(message, 0, len(message)):
        if field.number == number and field.wire_type == LENGTH_DELIMITED:
            yield message[field.content : field.end]


def _id_of(span: bytes, number: int) -> bytes:
    try:
        return next(_parts(span, number), b"")[:_ID_BYTES_MAX]
    except ReceiveError:  # what comes before it is malformed
        return b""


def _json_pieces(body: bytes) -> Iterator[Piece]:
    document = json.loads(body.decode("utf-8-sig", "replace"))
    for resource_spans in _members(document, "resourceSpans", "resource_spans"):
        for scope_spans in _members(resource_spans, "scopeSpans", "scope_spans"):
            for span in _members(scope_spans, "spans", "spans"):
                ids = (hex_id(_member(span, *names)) for names in (("traceId", "trace_id"), ("spanId", "span_id")))
                yield Piece(resource_spans.get("resource"), scope_spans.get("scope"), span, *ids)


def _members(given: Any, camel: str, snake: str) -> list[Any]:
    return cast("list[Any]", _member(given, camel, snake) or [])


def _member(given: Any, camel: str, snake: str) -> Any:
    return given.get(camel, given.get(snake)) if isinstance(given, dict) else None
