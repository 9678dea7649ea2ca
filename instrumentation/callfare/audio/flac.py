"""Seconds of FLAC, from the number that every frame carries. Pure.

The head of a stream has the sample rate, but the number of samples only where the encoder knew it beforehand, which a
streaming encoder does not. So the length is read from the last frame: it holds its own length and the number of the
samples or frames before it. The format does not mark where a frame ends; the last one is found by its sync code and the
checksum of its header.
"""

from decimal import Decimal
from typing import Final, NamedTuple

__all__ = ["FlacReader"]

_HEAD_BYTES: Final = 42
"""The name and STREAMINFO, which is always first."""
_TAIL_BYTES: Final = 1 << 16
"""Longer than two frames of any recording of speech."""
_FRAME_HEAD_BYTES_MAX: Final = 16


class FlacReader:
    """Measures one file."""

    def __init__(self) -> None:
        """Begin before the first byte."""
        self._head = b""
        self._tail = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if len(self._head) < _HEAD_BYTES:
            self._head += chunk[:_HEAD_BYTES]
        self._tail += chunk
        if len(self._tail) > 2 * _TAIL_BYTES:
            del self._tail[:-_TAIL_BYTES]

    def seconds(self) -> Decimal | None:
        """Length up to the end of the last frame; None where none is found."""
        head = self._head
        rate_hz = int.from_bytes(head[18:21], "big") >> 4
        if len(head) < _HEAD_BYTES or head[4] & 0x7F or not rate_hz:
            return None
        block_samples = int.from_bytes(head[8:10], "big")
        tail = bytes(self._tail)
        at = len(tail)
        while (at := tail.rfind(b"\xff", 0, at)) >= 0:
            frame = _frame(tail[at : at + _FRAME_HEAD_BYTES_MAX])
            if frame is not None:
                before = frame.number if frame.counts_samples else frame.number * block_samples
                return Decimal(before + frame.samples) / rate_hz
        return None


class _Frame(NamedTuple):
    number: int
    """Of the frame, or of its first sample."""
    counts_samples: bool
    samples: int


def _frame(head: bytes) -> _Frame | None:
    """Read a frame's header; None if its checksum says that it is none."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:  # noqa: PLR2004 - the shortest header, mark, reserved
        return None
    number_bytes = max(1, 8 - (head[4] ^ 0xFF).bit_length())  # as many leading ones as in UTF-8
    size_at = 4 + number_bytes
    code, rate = head[2] >> 4, head[2] & 15
    size_bytes = {6: 1, 7: 2}.get(code, 0)
    end = size_at + size_bytes + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if end >= len(head) or not code or _checksum(head[:end]) != head[end]:
        return None
    number = head[4] & (0x7F >> (number_bytes if number_bytes > 1 else 0))
    for byte in head[5:size_at]:
        number = number << 6 | byte & 0x3F
    stated = int.from_bytes(head[size_at : size_at + size_bytes], "big") + 1
    return _Frame(number, bool(head[1] & 1), stated if size_bytes else _block_samples(code))


def _block_samples(code: int) -> int:
    if code == 1:
        return 192
    return 576 << (code - 2) if code <= 5 else 256 << (code - 8)  # noqa: PLR2004 - the format's own table


def _checksum(data: bytes) -> int:
    """CRC-8 with the polynomial x^8 + x^2 + x + 1."""
    checksum = 0
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x107 if checksum & 0x80 else 0)) & 0xFF
    return checksum
