"""Seconds of Opus and Vorbis in Ogg, from the position that every page states. Pure.

A page has the number of samples up to its end; the last one has that of the whole stream. Opus counts at
48 kHz whatever it was made from, and states in its first page what a decoder throws away (RFC 7845). Files put one
behind the other add up; streams that run side by side, as in a film, or that begin in the middle, are not measured.
"""

import struct
from decimal import Decimal
from typing import Final

__all__ = ["OggReader"]

_HEADER_BYTES: Final = 27
_BEGINS: Final = 2
_PACKET_SAMPLES_MAX: Final = 8192
"""Vorbis's longest packet; Opus's is 5,760."""
_OPUS_RATE_HZ: Final = 48_000
_PAGE = struct.Struct("<4sBBqIIIB")


class OggReader:
    """Measures one file, or several joined."""

    def __init__(self) -> None:
        """Begin before the first page."""
        self._rest = b""
        self._skip_bytes = 0
        self._is_broken = False
        self._seconds_before = Decimal(0)
        self._serial: int | None = None
        self._rate_hz = 0
        self._silent_samples = 0
        """Of the beginning, not played."""
        self._position = 0
        self._has_sound = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._is_broken:
            return
        data = self._rest + chunk if self._rest else chunk
        self._rest = b""
        at, end = self._skip_bytes, len(data)
        while at < end:
            length_bytes = self._page_bytes(data, at, end)
            if length_bytes is None:
                self._rest, at = data[at:], end
                break
            at += length_bytes
        self._skip_bytes = at - end

    def _page_bytes(self, data: bytes, at: int, end: int) -> int | None:
        """Read a page and return its length; None to wait for more of it."""
        if at + _HEADER_BYTES > end:
            return None
        name, _, kind, position, serial, _, _, segment_count = _PAGE.unpack_from(data, at)
        body_at = at + _HEADER_BYTES + segment_count
        segments = data[at + _HEADER_BYTES : body_at]
        length_bytes = _HEADER_BYTES + segment_count + sum(segments)
        if name != b"OggS":
            self._is_broken = True
        elif kind & _BEGINS:
            if at + length_bytes > end:
                return None
            self._begin(serial, data[body_at : at + length_bytes])
        elif body_at > end:
            return None
        elif serial == self._serial and position > 0:
            self._move(position, segments)
        return length_bytes

    def _begin(self, serial: int, head: bytes) -> None:
        if self._serial is not None and not self._has_sound:
            self._is_broken = True  # two beginnings in a row: they run side by side
        self._seconds_before, self._position, self._has_sound = self._all_seconds(), 0, False
        self._serial = serial
        if head[:8] == b"OpusHead" and len(head) >= 12:  # noqa: PLR2004 - up to the field that is read
            self._rate_hz, self._silent_samples = _OPUS_RATE_HZ, int.from_bytes(head[10:12], "little")
        elif head[:7] == b"\x01vorbis" and len(head) >= 16:  # noqa: PLR2004 - as above
            self._rate_hz, self._silent_samples = int.from_bytes(head[12:16], "little"), 0
        else:
            self._rate_hz = 0
        self._is_broken |= not self._rate_hz

    def _move(self, position: int, segments: bytes) -> None:
        packet_count = sum(size < 255 for size in segments) + 1  # noqa: PLR2004 - a packet ends below 255
        if not self._has_sound and position > packet_count * _PACKET_SAMPLES_MAX:
            self._is_broken = True  # a recording that was cut out of a longer one
        self._has_sound = True
        self._position = max(position, self._position)

    def _all_seconds(self) -> Decimal:
        if not self._rate_hz:
            return self._seconds_before
        return self._seconds_before + Decimal(max(0, self._position - self._silent_samples)) / self._rate_hz

    def seconds(self) -> Decimal | None:
        """Length of the pages that have come; None where it cannot be known."""
        seconds = self._all_seconds()
        return None if self._is_broken or not seconds else seconds
