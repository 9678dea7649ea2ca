"""Walk protobuf bytes without decoding them: to count before memory is spent, to repair what a decoder refuses.

Which field is a message and which is text is taken from the slim descriptor itself (`read/otlp/wire.py`), so the
two cannot drift apart. Groups, long obsolete, are skipped as the decoder skips them.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from cost_exporter.errors import Undecodable
from cost_exporter.read.otlp import wire

__all__ = ["LENGTH_DELIMITED", "Field", "Shape", "fields_of", "read_varint", "shape_of", "varint"]

LENGTH_DELIMITED = 2
_VARINT_BYTES_MAX = 10
_GROUP_START, _GROUP_END = 3, 4
_FIXED_BYTES = {1: 8, 5: 4}


class Shape:
    """Which fields of a message hold messages and which hold text. A value may hold itself, so it is a graph."""

    __slots__ = ("messages", "strings")

    def __init__(self) -> None:
        self.messages: dict[int, Shape] = {}
        self.strings: set[int] = set()


class Field(NamedTuple):
    """One field: from its tag at `start` to `end`; `content` is where its value begins."""

    number: int
    wire_type: int
    start: int
    content: int
    end: int


def shape_of(message: str, *, has_values: bool = True) -> Shape:
    """Return the shape of a message of OTLP, such as `Request`, read off the slim descriptor.

    `has_values`: down to the values of a span's attributes. Without them it is the shape of what is decoded at once.
    """
    return _shape_of(wire.descriptor_of(message, has_values=has_values), {})


def _shape_of(descriptor: Any, known: dict[str, Shape]) -> Shape:
    if descriptor.full_name not in known:
        shape = known[descriptor.full_name] = Shape()
        for field in descriptor.fields:
            if field.type == field.TYPE_STRING:
                shape.strings.add(field.number)
            elif field.message_type is not None:
                shape.messages[field.number] = _shape_of(field.message_type, known)
    return known[descriptor.full_name]


def read_varint(body: bytes, position: int) -> tuple[int, int]:
    """Return the number at `position` and where it ends. Raises `Undecodable` on a cut or endless one."""
    if position < len(body) and (first := body[position]) < 0x80:  # noqa: PLR2004 - nearly all of them
        return first, position + 1
    number = shift = 0
    for index in range(position, min(position + _VARINT_BYTES_MAX, len(body))):
        byte = body[index]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return number, index + 1
        shift += 7
    raise Undecodable("not protobuf: a number is cut off or too long")


def varint(number: int) -> bytes:
    """Return the number in protobuf's variable-length form."""
    encoded = bytearray()
    while number >= 0x80:  # noqa: PLR2004 - seven bits a byte
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def fields_of(body: bytes, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message between `start` and `end`. Raises `Undecodable` where they do not fit."""
    position = start
    while position < end:
        tag, content = read_varint(body, position)
        if tag & 7 == LENGTH_DELIMITED:
            length, content = read_varint(body, content)
            field_end = content + length
        elif tag & 7 == _GROUP_START:
            field_end = _after_group(body, content, end)
        else:
            field_end = _after_scalar(body, tag & 7, content)
        if field_end > end or not tag >> 3:
            raise Undecodable("not protobuf: a field is longer than its message, or has no number")
        yield Field(tag >> 3, tag & 7, position, content, field_end)
        position = field_end


def _after_scalar(body: bytes, wire_type: int, position: int) -> int:
    if wire_type == 0:
        return read_varint(body, position)[1]
    if wire_type not in _FIXED_BYTES:
        raise Undecodable("not protobuf: unknown wire type")
    return position + _FIXED_BYTES[wire_type]


def _after_group(body: bytes, position: int, end: int) -> int:
    depth = 1
    while depth:
        if position >= end:
            raise Undecodable("not protobuf: a group without an end")
        tag, position = read_varint(body, position)
        wire_type = tag & 7
        if wire_type == LENGTH_DELIMITED:
            length, position = read_varint(body, position)
            position += length
        elif wire_type in (_GROUP_START, _GROUP_END):
            depth += 1 if wire_type == _GROUP_START else -1
        else:
            position = _after_scalar(body, wire_type, position)
    return position
