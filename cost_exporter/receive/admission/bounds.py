"""Refuse what would take too much memory, before it takes any (rules 23 and 24).

Protobuf blows up: two bytes on the wire can be a message of 60 bytes and more in memory, so that 64 MiB of empty
spans are 6 GB. Spans are therefore counted on the wire first, at about half a microsecond each. Smaller
messages (values of an array, events) are bounded by a count of the bytes that could be their length, which
costs one pass at memory speed; only a request that looks suspicious by that is walked message by message.
"""

from dataclasses import dataclass
from typing import Final

from cost_exporter.errors import TooLarge, Undecodable
from cost_exporter.read.otlp.wire_shape import LENGTH_DELIMITED, Shape, fields_of, read_varint, shape_of

__all__ = ["Limits", "require_size", "require_spans"]

_MIB: Final = 1024 * 1024
_SPAN_BYTES_MIN: Final = 2
_WALK_FREE_BYTES: Final = 4 * _MIB
_SMALL_LENGTHS_FREE: Final = 4_000_000
_SMALL_LENGTHS_MAX: Final = 24_000_000
"""More than a third of the largest body: no text and no real spans look like that."""
_MESSAGES_MAX: Final = 2_500_000
"""50,000 spans of 22 attributes are 2.2 million."""
# A message of up to 15 bytes has one of these as (the first byte of) its length.
_SMALL_LENGTHS: Final = bytes([*range(0x10), *range(0x80, 0x90)])
_REQUEST: Final = shape_of("Request")
_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = 1, 2, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most a single request may hold. OTLP recommends 64 MiB, also after decompression."""

    body_bytes_max: int = 64 * _MIB
    spans_max: int = 50_000


def require_size(size_bytes: int, limits: Limits) -> None:
    """Raise `TooLarge` for a body over the limit."""
    if size_bytes > limits.body_bytes_max:
        raise TooLarge(
            f"request is larger than {limits.body_bytes_max} bytes; send smaller batches "
            "(in a Collector: sending_queue.batch.max_size)"
        )


def require_spans(body: bytes, limits: Limits) -> None:
    """Raise `TooLarge` for a protobuf request with more spans, or more of anything, than memory is meant for."""
    require_size(len(body), limits)
    if len(body) > limits.spans_max * _SPAN_BYTES_MIN:
        _count_spans(body, limits.spans_max)
    if len(body) > _WALK_FREE_BYTES:
        _require_messages(body)


def _too_many(spans_max: int) -> TooLarge:
    return TooLarge(f"request holds more than {spans_max} spans; send smaller batches")


def _count_spans(body: bytes, spans_max: int) -> None:
    """Count spans, and the resources and scopes around them, each up to the limit."""
    resources = _children(body, 0, len(body), _RESOURCE_SPANS, spans_max)
    scopes: list[tuple[int, int]] = []
    for start, end in resources:
        scopes += _children(body, start, end, _SCOPE_SPANS, spans_max - len(scopes))
    span_count = 0
    for start, end in scopes:
        span_count += len(_children(body, start, end, _SPANS, spans_max - span_count))


def _children(body: bytes, start: int, end: int, number: int, count_max: int) -> list[tuple[int, int]]:
    """Return where the submessages of this field number lie. The hot loop of receiving: no calls for short forms."""
    wanted_tag = number << 3 | LENGTH_DELIMITED
    found: list[tuple[int, int]] = []
    position = start
    while position < end:
        if body[position] != wanted_tag:
            position = next(fields_of(body, position, end)).end
            continue
        length, content = read_varint(body, position + 1)
        position = content + length
        if position > end:
            raise Undecodable("not protobuf: a field is longer than its message")
        if len(found) >= count_max:
            raise _too_many(count_max)
        found.append((content, position))
    return found


def _require_messages(body: bytes) -> None:
    """Bound the messages of every kind. Only what might be messages in the main is walked."""
    small_lengths = len(body) - len(body.translate(None, _SMALL_LENGTHS))
    if small_lengths > _SMALL_LENGTHS_MAX or (
        small_lengths > _SMALL_LENGTHS_FREE and _message_count(body) > _MESSAGES_MAX
    ):
        raise TooLarge(f"request holds more than {_MESSAGES_MAX} values; send smaller batches")


def _message_count(body: bytes) -> int:
    """Count the messages that decoding would make, up to the limit. Iterative, so that depth costs no stack."""
    count = 0
    waiting: list[tuple[int, int, Shape]] = [(0, len(body), _REQUEST)]
    while waiting:
        position, end, shape = waiting.pop()
        while position < end and count <= _MESSAGES_MAX:
            number, content, position = _next_field(body, position, end)
            inner = shape.messages.get(number)
            if inner is not None:
                count += 1
                if content < position and inner.messages:
                    waiting.append((content, min(position, end), inner))
    return count


def _next_field(body: bytes, position: int, end: int) -> tuple[int, int, int]:
    """Return number (0 if it is no message's), content and end of a field; fast for the form everybody writes."""
    tag = body[position]
    if tag & 0x87 == LENGTH_DELIMITED:  # a tag of one byte
        length, content = read_varint(body, position + 1)
        return tag >> 3, content, content + length
    field = next(fields_of(body, position, end))
    return field.number if field.wire_type == LENGTH_DELIMITED else 0, field.content, field.end
