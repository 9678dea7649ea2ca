"""The values of a span's attributes, decoded one by one as they are asked for.

A span carries dozens of attributes and few of them are read, so a request is decoded without them (`wire.py`). A
value with invalid UTF-8 is repaired when it is read. One that cannot be decoded makes its span a dead letter, but
only if it is read: an attribute that is not read cannot change a cost.

What is read on span after span is known by its bytes, which is cheaper than to decode it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from cost_exporter.domain.quantity import MAX_QUANTITY
from cost_exporter.read.otlp.repair import UNDECODABLE, repair
from cost_exporter.read.otlp.wire import AnyValue, DecodeError, EncodedAttributes, parse_value
from cost_exporter.read.otlp.wire_shape import shape_of

__all__ = ["COUNTS", "SpanAttributes", "UnreadableValue", "readable_text", "short_text", "value_of"]

_VALUE: Final = shape_of("AnyValue")
_STRING_TAG, _INT_TAG = 0x0A, b"\x18"
_SHORT_TEXT_BYTES_MAX: Final = 0x7F
"""A text up to here has a length of one byte before it."""
_COUNTS_MAX: Final = 16_384


class UnreadableValue(Exception):
    """A value that is wanted is no value. `reason` is that of the dead letter its span becomes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SpanAttributes(Mapping[str, AnyValue]):
    """The attributes of a span by name. To look at a value raises `UnreadableValue` where it is none."""

    __slots__ = ("_encoded",)

    def __init__(self, encoded: EncodedAttributes) -> None:
        """Nothing is decoded yet."""
        self._encoded = encoded

    def __getitem__(self, key: str) -> AnyValue:
        """Return the value, repaired if necessary."""
        return value_of(self._encoded[key])

    def __contains__(self, key: object) -> bool:
        """Whether the span carries it, without looking at its value."""
        return key in self._encoded

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._encoded)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._encoded)


def value_of(encoded: bytes) -> AnyValue:
    """Return the value, its text made valid. Raises `UnreadableValue`."""
    try:
        return parse_value(encoded)
    except DecodeError:
        repaired = repair(encoded, _VALUE)
    if repaired.reason:
        raise UnreadableValue(repaired.reason)
    try:
        return parse_value(repaired.body)
    except DecodeError as error:
        raise UnreadableValue(UNDECODABLE) from error


def readable_text(encoded: bytes) -> str:
    """Return the text of a value on which no bill depends; "" where it is none, or cannot be read."""
    try:
        return value_of(encoded).string_value
    except UnreadableValue:
        return ""


class _Counts(dict[bytes, int]):
    """Whole counts from 0 up by their encoded values; -1 for any other value, which `count_of` may make sense of.

    Small numbers recur, and most are small: to look one up is cheaper than to decode it.
    """

    def __missing__(self, encoded: bytes) -> int:
        if not encoded.startswith(_INT_TAG):
            return -1
        found = value_of(encoded)
        count = found.int_value
        if found.WhichOneof("value") != "int_value" or not 0 <= count <= MAX_QUANTITY:
            return -1
        if len(self) >= _COUNTS_MAX:
            self.clear()
        self[encoded] = count
        return count


COUNTS: Final = _Counts()


def short_text(encoded: bytes) -> str:
    """Return a text of 1 to 127 bytes; "" for any other value."""
    size_bytes = len(encoded) - 2
    if 0 < size_bytes <= _SHORT_TEXT_BYTES_MAX and encoded[0] == _STRING_TAG and encoded[1] == size_bytes:
        try:
            return encoded[2:].decode()
        except UnicodeDecodeError:
            return ""
    return ""
