"""Find the spans of Traceloop's Anthropic instrumentation that are streams, by the order of their attributes.

It writes the model of a whole answer before its usage. Of a stream it writes the usage first, also where the SDK's
helper `messages.stream()` made it, which no attribute shows (measured 0.62.4). A stream's output is counted one to five
tokens too high, so it matters. A decoded span has no order, so this looks at the request as sent; any other request
costs one search.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from callfare.attributes import OUTPUT_TOKENS, RESPONSE_MODEL
from cost_exporter.errors import Undecodable
from cost_exporter.read.otlp.wire_shape import LENGTH_DELIMITED, fields_of

__all__ = ["is_order_of_stream", "streamed_spans"]

_SCOPE: Final = b"opentelemetry.instrumentation.anthropic"
_SPAN_ID, _SPANS, _SCOPE_SPANS, _RESOURCE_SPANS = 2, 2, 2, 1


def _key(name: str) -> bytes:
    """Return how an attribute of this name begins: its key, whole, and the tag of its value."""
    return bytes([0x0A, len(name)]) + name.encode() + b"\x12"


_USAGE_KEY: Final = _key(OUTPUT_TOKENS)
_MODEL_KEY: Final = _key(RESPONSE_MODEL)


def streamed_spans(body: bytes) -> frozenset[bytes]:
    """Return the ids of the spans of a serialised request whose usage comes before the model of the answer."""
    if _SCOPE not in body:
        return frozenset()
    try:
        return frozenset(_found(body))
    except Undecodable:  # salvaged span by span, without an order
        return frozenset()


def is_order_of_stream(names: Iterable[str]) -> bool:
    """Return whether the usage comes before the model of the answer."""
    kept = [name for name in names if name in {OUTPUT_TOKENS, RESPONSE_MODEL}]
    return kept == [OUTPUT_TOKENS, RESPONSE_MODEL]


def _found(body: bytes) -> Iterator[bytes]:
    for resource_start, resource_end in _within(body, 0, len(body), _RESOURCE_SPANS):
        for start, end in _within(body, resource_start, resource_end, _SCOPE_SPANS):
            if body.find(_SCOPE, start, end) >= 0:
                for span_start, span_end in _within(body, start, end, _SPANS):
                    usage_at = body.find(_USAGE_KEY, span_start, span_end)
                    if usage_at >= 0 and body.find(_MODEL_KEY, usage_at, span_end) >= 0:
                        yield from (body[a:b] for a, b in _within(body, span_start, span_end, _SPAN_ID))


def _within(body: bytes, start: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """Yield where the content of each field of this number begins and ends."""
    for field in fields_of(body, start, end):
        if field.number == number and field.wire_type == LENGTH_DELIMITED:
            yield field.content, field.end
