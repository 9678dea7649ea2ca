"""A trace request put together and taken apart as bytes: its frames are touched, its spans are not decoded.

Protobuf merges by concatenation. A span followed by the bytes of more attributes *is* the span with more
attributes, and requests one after the other *are* one request with the spans of all. Frames are of the kind
"length-delimited" alone; that is all a request has above its spans.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from cost_exporter.read.otlp.wire_shape import LENGTH_DELIMITED, varint

__all__ = ["field", "framed_span", "halves_of", "trace_request"]

_RESOURCE_SPANS = 1  # in ExportTraceServiceRequest
_RESOURCE, _SCOPE_SPANS = 1, 2  # in ResourceSpans
_SCOPE, _SPAN = 1, 2  # in ScopeSpans


def trace_request(resource: bytes, scope: bytes, framed_spans: Iterable[bytes]) -> bytes:
    """Return the ExportTraceServiceRequest with these spans, each in its frame (`framed_span`)."""
    group = field(_SCOPE, scope) + b"".join(framed_spans)
    return field(_RESOURCE_SPANS, field(_RESOURCE, resource) + field(_SCOPE_SPANS, group))


def framed_span(span: bytes) -> bytes:
    """Return a serialised span with its frame, as it is within its group."""
    return field(_SPAN, span)


def halves_of(request: bytes) -> Sequence[bytes]:
    """Return a request of `trace_request` as two with half of its spans each; as it is where it has just one."""
    ((_, resource_spans),) = _fields(request)
    (_, resource), (_, scope_spans) = _fields(resource_spans)
    (_, scope), *spans = _fields(scope_spans)
    if len(spans) == 1:
        return [request]
    framed = [framed_span(span) for _, span in spans]
    middle = len(framed) // 2
    return [trace_request(resource, scope, half) for half in (framed[:middle], framed[middle:])]


def field(number: int, payload: bytes) -> bytes:
    """Return a length-delimited field: a text, bytes or a message."""
    return _frame(number, len(payload)) + payload


@lru_cache(maxsize=8192)
def _frame(number: int, size_bytes: int) -> bytes:
    """Return the bytes before the payload of a length-delimited field. Cached: a few thousand sizes recur."""
    return varint(number << 3 | LENGTH_DELIMITED) + varint(size_bytes)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and payload of each field of a message that has only length-delimited ones below number 16."""
    position = 0
    while position < len(message):
        number, size_bytes, shift = message[position] >> 3, 0, 0
        while True:
            position += 1
            size_bytes |= (message[position] & 0x7F) << shift
            shift += 7
            if message[position] < 0x80:  # noqa: PLR2004 - the last byte of a varint has no high bit
                break
        start = position + 1
        position = start + size_bytes
        yield number, message[start:position]
