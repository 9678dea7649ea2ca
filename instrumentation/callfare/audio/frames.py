"""Seconds of compressed audio, added up from its frame headers as the bytes pass. Pure.

    reader = reader_for(first_bytes)     # by what the bytes are, whatever a header calls them; None if unknown
    reader.feed(first_bytes)             # and every piece after it
    reader.seconds()                     # of what has passed so far; None if it was no such stream after all

MP3 of constant and variable bit rate, with tags or without, and AAC (ADTS) are here; Ogg and FLAC beside. Nothing is
decoded: every frame says how long it is. Never a guess: where one frame does not follow right behind the other, the
length is unknown. The encoder's own padding counts, as nothing distinguishes it: two or three frames, 90 ms at most.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from callfare.audio.flac import FlacReader
from callfare.audio.ogg import OggReader

__all__ = ["AacReader", "FrameReader", "Mp3Reader", "reader_for"]

_FRAMES_MIN: Final = 3
"""Fewer may be anything: two bytes of noise in 2,000 look like the beginning of a frame."""


class FrameReader(Protocol):
    """Measures one stream."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        ...

    def seconds(self) -> Decimal | None:
        """Length of what has passed; None where it cannot be known."""
        ...


def reader_for(start: bytes) -> FrameReader | None:
    """Return a reader for a stream that begins so; None for raw samples, WAV, MP4, WebM and anything else."""
    if start[:4] == b"OggS":
        return OggReader()
    if start[:4] == b"fLaC":
        return FlacReader()
    if start[:3] == b"ID3" or _mp3_frame(start[:4]) is not None:
        return Mp3Reader()
    return None if _aac_frame(start[:7]) is None else AacReader()


class _Frame(NamedTuple):
    """The header of a frame."""

    length_bytes: int
    samples: int
    rate_hz: int


class _Chain:
    """Frames one right behind the other."""

    _head_bytes: int
    """Number of bytes of a frame that give its length."""

    def __init__(self) -> None:
        self._rest = b""
        """The beginning of a header that the last piece cut through."""
        self._skip_bytes = 0
        """Before the next header."""
        self._is_broken = False
        self._frame_count = 0
        self._samples_by_rate: dict[int, int] = {}

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        data = self._rest + chunk if self._rest else chunk
        self._rest = b""
        at, end = self._skip_bytes, len(data)
        head_bytes, read, samples_by_rate = self._head_bytes, self._read, self._samples_by_rate
        has_looked = False
        while at < end:
            frame = read(data[at : at + head_bytes])
            if frame is None or not self._frame_count:
                step_bytes = self._step(frame, data[at : at + _STEP_HEAD_BYTES])
                if step_bytes is None:
                    self._rest, at = data[at:], end
                else:
                    at += step_bytes
                continue
            length_bytes, samples, rate_hz = frame
            count = 1 if has_looked else self._alike_count(data, at, length_bytes)
            has_looked = True
            at += length_bytes * count
            samples_by_rate[rate_hz] = samples_by_rate.get(rate_hz, 0) + samples * count
            self._frame_count += count
        self._skip_bytes = at - end

    def _read(self, head: bytes) -> _Frame | None:
        """Return the header of a frame; None if it is not one, or is incomplete."""
        raise NotImplementedError

    def _alike_count(self, _data: bytes, _at: int, _length_bytes: int) -> int:
        """How many frames from here on are known to be like the first, that one included."""
        return 1

    def _step(self, frame: _Frame | None, head: bytes) -> int | None:
        """Bytes to step over at the first frame and where there is none; None to wait for more of them."""
        if len(head) < _STEP_HEAD_BYTES:
            return None
        if frame is not None:
            self._frame_count = 1
            if not any(name in head for name in _FILE_HEADERS):
                self._samples_by_rate[frame.rate_hz] = frame.samples
            return frame.length_bytes
        tag_bytes = _tag_length_bytes(head)
        self._is_broken |= tag_bytes is None
        return _ALL_BYTES if tag_bytes is None else tag_bytes

    def seconds(self) -> Decimal | None:
        """Length of what has passed."""
        if self._is_broken or self._frame_count < _FRAMES_MIN:
            return None
        return sum((Decimal(samples) / rate_hz for rate_hz, samples in self._samples_by_rate.items()), Decimal(0))


_STEP_HEAD_BYTES: Final = 42
"""The longest that has to be known at once: a first frame up to the name of the table in it."""
_FILE_HEADERS: Final = (b"Xing", b"Info", b"VBRI")
"""Names of tables in a first frame that MP3 encoders put before the sound: as long as the others, and silent."""
_ID3V1_BYTES: Final = 128
_ALL_BYTES: Final = 1 << 62
"""More than any stream has: what follows is not looked at."""


def _tag_length_bytes(head: bytes) -> int | None:
    """Length of a tag that begins so: ID3 before the sound or between joined files, ID3v1 and APE behind it."""
    if head[:3] == b"ID3":
        size_bytes = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return size_bytes + (20 if head[5] & 0x10 else 10)  # twice its header where it has a footer too
    if head[:3] == b"TAG":
        return _ID3V1_BYTES
    return _ALL_BYTES if head[:8] == b"APETAGEX" else None


class Mp3Reader(_Chain):
    """MPEG audio, layer III."""

    _head_bytes = 4

    def _read(self, head: bytes) -> _Frame | None:
        return _mp3_frame(head)

    def _alike_count(self, data: bytes, at: int, length_bytes: int) -> int:
        """All that the piece holds, where the bit rate is constant and fits: four slices rather than a loop."""
        count = (len(data) - at) // length_bytes
        if count < _RUN_MIN:
            return 1
        until = at + length_bytes * count
        for byte in (at + 2, at + 1, at):  # the bit rate first; the fourth byte is about channels
            if data[byte:until:length_bytes] != data[byte : byte + 1] * count:
                return 1
        return count


_RUN_MIN: Final = 4
"""Fewer frames are read as fast one by one."""
_V1_KILOBITS: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2_KILOBITS: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_RATES_HZ: Final = (44_100, 48_000, 32_000)
_RATE_DIVISORS: Final = {3: 1, 2: 2, 0: 4}
"""MPEG 1, 2 and 2.5, by the two bits of the version."""


@lru_cache(maxsize=1024)  # a stream has only a few different headers
def _mp3_frame(head: bytes) -> _Frame | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # noqa: PLR2004 - sync, layer III
        return None
    divisor = _RATE_DIVISORS.get(head[1] >> 3 & 3)
    bit_rate, rate = head[2] >> 4, head[2] >> 2 & 3
    if divisor is None or not 0 < bit_rate < 15 or rate == 3:  # noqa: PLR2004 - 0 is "free", the others are reserved
        return None
    samples = 1152 if divisor == 1 else 576
    rate_hz = _MP3_RATES_HZ[rate] // divisor
    kilobits = (_V1_KILOBITS if divisor == 1 else _V2_KILOBITS)[bit_rate]
    return _Frame(samples // 8 * kilobits * 1000 // rate_hz + (head[2] >> 1 & 1), samples, rate_hz)


class AacReader(_Chain):
    """AAC in ADTS frames."""

    _head_bytes = 7

    def _read(self, head: bytes) -> _Frame | None:
        return _aac_frame(head)


_AAC_RATES_HZ: Final = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
)  # fmt: skip
_AAC_HEADER_BYTES: Final = 7


def _aac_frame(head: bytes) -> _Frame | None:
    if len(head) < _AAC_HEADER_BYTES or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:  # noqa: PLR2004 - sync, layer 0
        return None
    rate = head[2] >> 2 & 15
    length_bytes = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if rate >= len(_AAC_RATES_HZ) or length_bytes <= _AAC_HEADER_BYTES:
        return None
    return _Frame(length_bytes, 1024 * (1 + (head[6] & 3)), _AAC_RATES_HZ[rate])
