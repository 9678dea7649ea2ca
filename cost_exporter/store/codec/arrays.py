"""PostgreSQL arrays in binary, packed a column at a time.

A batch goes to the database as one array per column (`unnest`). psycopg can dump lists itself, but looks at
every element to find its type; packing a column whose type is known takes a fraction of that, and the ids
and counts of a span are already the bytes PostgreSQL wants. Each class here is the finished wire form.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from psycopg import Connection
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

__all__ = [
    "BoolArray",
    "ByteaArray",
    "DateArray",
    "Int2Array",
    "Int8Array",
    "TextArray",
    "TimestampArray",
    "UuidArray",
    "register_arrays",
]

_UNIX_TO_POSTGRES_US: Final = 946_684_800_000_000
"""PostgreSQL counts microseconds from 2000-01-01."""
_UNIX_TO_POSTGRES_DAYS: Final = 10_957
_NULL: Final = b"\xff\xff\xff\xff"
_UUID_LENGTH: Final = 16
_HOLDS_NUL: Final = "a text holds a NUL character"


def _header(element_oid: int, count: int) -> bytes:
    # One dimension, may hold nulls, element type, length, lower bound 1.
    return struct.pack(">iiIii", 1, 1, element_oid, count, 1)


class _Array(bytes):
    """A packed array; subclasses say of what."""

    array_oid: int
    element_oid: int


class UuidArray(_Array):
    """uuid[]."""

    array_oid, element_oid = 2951, 2950

    @classmethod
    def of(cls, ids: Sequence[bytes | None]) -> "UuidArray":
        """Pack 16-byte ids; None is null."""
        length = struct.pack(">i", _UUID_LENGTH)
        for each in ids:
            if each is not None and len(each) != _UUID_LENGTH:
                raise ValueError(f"a trace id has 16 bytes, not {len(each)}")
        parts = [_NULL if each is None else length + each for each in ids]
        return cls(_header(cls.element_oid, len(ids)) + b"".join(parts))


class Int8Array(_Array):
    """bigint[]."""

    array_oid, element_oid = 1016, 20

    @classmethod
    def of(cls, numbers: Sequence[int | None]) -> "Int8Array":
        """Pack integers of 64 bits; None is null."""
        return cls(_header(cls.element_oid, len(numbers)) + _int8_elements(numbers))

    @classmethod
    def of_ids(cls, ids: Sequence[bytes | None]) -> "Int8Array":
        """Pack 8-byte span ids as they are: signed, big-endian."""
        for each in ids:
            if each is not None and len(each) != 8:  # noqa: PLR2004 - a bigint
                raise ValueError(f"a span id has 8 bytes, not {len(each)}")
        parts = [_NULL if each is None else b"\x00\x00\x00\x08" + each for each in ids]
        return cls(_header(cls.element_oid, len(ids)) + b"".join(parts))


class Int2Array(_Array):
    """smallint[]."""

    array_oid, element_oid = 1005, 21

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Int2Array":
        """Pack integers of 16 bits."""
        pairs = [part for number in numbers for part in (2, number)]
        return cls(_header(cls.element_oid, len(numbers)) + struct.pack(f">{'ih' * len(numbers)}", *pairs))


class TimestampArray(_Array):
    """timestamptz[]."""

    array_oid, element_oid = 1185, 1184

    @classmethod
    def of_unix_us(cls, instants: Sequence[int | None]) -> "TimestampArray":
        """Pack microseconds since 1970, UTC; None is null."""
        shifted = [None if each is None else each - _UNIX_TO_POSTGRES_US for each in instants]
        return cls(_header(cls.element_oid, len(shifted)) + _int8_elements(shifted))


class DateArray(_Array):
    """date[]."""

    array_oid, element_oid = 1182, 1082

    @classmethod
    def of_unix_days(cls, days: Sequence[int]) -> "DateArray":
        """Pack days since 1970."""
        pairs = [part for day in days for part in (4, day - _UNIX_TO_POSTGRES_DAYS)]
        return cls(_header(cls.element_oid, len(days)) + struct.pack(f">{'ii' * len(days)}", *pairs))


class BoolArray(_Array):
    """boolean[]."""

    array_oid, element_oid = 1000, 16

    @classmethod
    def of(cls, flags: Sequence[bool]) -> "BoolArray":
        """Pack truth values."""
        parts = [b"\x00\x00\x00\x01\x01" if each else b"\x00\x00\x00\x01\x00" for each in flags]
        return cls(_header(cls.element_oid, len(flags)) + b"".join(parts))


class ByteaArray(_Array):
    """bytea[]."""

    array_oid, element_oid = 1001, 17

    @classmethod
    def of(cls, contents: Sequence[bytes | None]) -> "ByteaArray":
        """Pack bytes; None is null."""
        parts = [_NULL if each is None else len(each).to_bytes(4, "big") + each for each in contents]
        return cls(_header(cls.element_oid, len(contents)) + b"".join(parts))


class TextArray(_Array):
    """text[]. Raises `ValueError` for what PostgreSQL cannot hold: NUL, lone surrogates."""

    array_oid, element_oid = 1009, 25

    @classmethod
    def of(cls, texts: Sequence[str | None]) -> "TextArray":
        """Pack texts of which most are the same few; None is null."""
        header = _header(cls.element_oid, len(texts))
        if texts and texts.count(texts[0]) == len(texts):
            return cls(header + _packed_text(texts[0]) * len(texts))
        packed = {text: _packed_text(text) for text in set(texts)}
        return cls(header + b"".join([packed[text] for text in texts]))

    @classmethod
    def of_distinct(cls, texts: Sequence[str | None]) -> "TextArray":
        """Pack texts of which most differ; None is null."""
        contents = [b"" if text is None else text.encode() for text in texts]
        parts = [b""] * (2 * len(texts))
        parts[::2] = _lengths([-1 if text is None else len(each) for text, each in zip(texts, contents, strict=True)])
        parts[1::2] = contents
        if b"\x00" in b"".join(contents):
            raise ValueError(_HOLDS_NUL)
        return cls(_header(cls.element_oid, len(texts)) + b"".join(parts))


def _packed_text(text: str | None) -> bytes:
    """Return a text with its length in front."""
    if text is None:
        return _NULL
    content = text.encode()
    if b"\x00" in content:
        raise ValueError(_HOLDS_NUL)
    return len(content).to_bytes(4, "big") + content


def _lengths(lengths: Sequence[int]) -> list[bytes]:
    """Return each length as PostgreSQL writes it; -1 is that of a null."""
    packed = struct.pack(f">{len(lengths)}i", *lengths)
    return [packed[start : start + 4] for start in range(0, len(packed), 4)]


def _int8_elements(numbers: Sequence[int | None]) -> bytes:
    if None in numbers:
        return b"".join([_NULL if each is None else struct.pack(">iq", 8, each) for each in numbers])
    pairs = [part for number in numbers for part in (8, number)]
    return struct.pack(f">{'iq' * len(numbers)}", *pairs)


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> Buffer | None:
        return obj


def _dumper(array: type[_Array]) -> type[_ArrayDumper]:
    return type(f"{array.__name__}Dumper", (_ArrayDumper,), {"oid": array.array_oid})


_DUMPERS: Final[Mapping[type[_Array], type[_ArrayDumper]]] = {
    array: _dumper(array)
    for array in (UuidArray, Int8Array, Int2Array, TimestampArray, DateArray, BoolArray, ByteaArray, TextArray)
}


def register_arrays(connection: Connection[tuple[object, ...]]) -> None:
    """Let a connection send these arrays."""
    for array, dumper in _DUMPERS.items():
        connection.adapters.register_dumper(array, dumper)
