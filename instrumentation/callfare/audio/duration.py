"""Audio seconds from bytes. Pure.

In: how many bytes, in which encoding, at which sample rate and in how many channels. Out: exact seconds, or
None where the length cannot be known from the bytes alone (variable bit rates, unknown containers). Never a
guess: the caller then reports the quantity as unknown.
"""

import struct
from dataclasses import dataclass
from decimal import Decimal

__all__ = ["WavHeader", "bytes_per_second", "format_bytes_per_second", "seconds_of_bytes", "wav_header", "wav_seconds"]

# Names by which vendors call their raw encodings, and the bytes of one sample.
_SAMPLE_BYTES = {
    "linear16": 2, "linear_16": 2, "pcm": 2, "pcm16": 2, "pcm_16": 2, "pcm_s16le": 2, "s16le": 2, "raw": 2,
    "linear32": 4, "pcm_f32le": 4, "f32le": 4, "pcm_s32le": 4,
    "pcm_s24le": 3, "linear24": 3,
    "mulaw": 1, "ulaw": 1, "pcm_mulaw": 1, "g711_ulaw": 1, "audio/pcmu": 1,
    "alaw": 1, "pcm_alaw": 1, "g711_alaw": 1, "audio/pcma": 1,
    "pcm_u8": 1, "u8": 1, "linear8": 1,
}  # fmt: skip
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""The sizes that streaming encoders write into a RIFF header while the real one is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WavHeader:
    """The properties of the audio after a RIFF/WAVE header."""

    bytes_per_second: int
    channels: int
    sample_rate_hz: int
    data_offset_bytes: int
    data_bytes: int | None
    """None where the encoder streamed and did not know."""


def bytes_per_second(encoding: str, sample_rate_hz: int, channels: int = 1) -> int | None:
    """Bytes of one second of raw audio, or None for an encoding whose rate varies or is unknown."""
    sample_bytes = _SAMPLE_BYTES.get(encoding.lower())
    if sample_bytes is None or sample_rate_hz <= 0 or channels <= 0:
        return None
    return sample_bytes * sample_rate_hz * channels


def format_bytes_per_second(name: str) -> int | None:
    """The same for a format in one word: `pcm_16000`, `ulaw_8000`, `mp3_44100_128`; None if unknown.

    An MP3 of constant bit rate is as exact as PCM up to one frame. Opus is not: its rate is a target.
    """
    parts = name.lower().split("_")
    numbers = [int(part) for part in parts if part.isdecimal()]
    if parts[0] == "mp3" and len(numbers) == 2:  # noqa: PLR2004 - sample rate and kilobits
        return numbers[1] * 1000 // 8
    if parts[0] in {"pcm", "ulaw", "alaw", "wav"} and numbers:
        return bytes_per_second("pcm" if parts[0] == "wav" else parts[0], numbers[0])
    return None


def seconds_of_bytes(byte_count: int, rate_bytes_per_second: int | None) -> Decimal | None:
    """Seconds that many bytes last, or None where the rate is unknown."""
    if not rate_bytes_per_second:
        return None
    return Decimal(byte_count) / rate_bytes_per_second


def wav_header(start: bytes) -> WavHeader | None:
    """Read the header from the first bytes of a WAV file; None if it is not one or is cut off."""
    if len(start) < 12 or start[:4] != b"RIFF" or start[8:12] != b"WAVE":  # noqa: PLR2004 - RIFF preamble
        return None
    offset, layout = 12, None
    while offset + 8 <= len(start):
        name, size = start[offset : offset + 4], int.from_bytes(start[offset + 4 : offset + 8], "little")
        body = offset + 8
        if name == b"data":
            return _header(layout, body, size)
        if name == b"fmt " and body + 16 <= len(start):
            layout = struct.unpack_from("<HHIIHH", start, body)
        offset = body + size + (size & 1)
    return None


def _header(layout: tuple[int, ...] | None, offset: int, size: int) -> WavHeader | None:
    if layout is None or layout[3] <= 0:
        return None
    return WavHeader(
        bytes_per_second=layout[3],
        channels=layout[1],
        sample_rate_hz=layout[2],
        data_offset_bytes=offset,
        data_bytes=None if size in _UNKNOWN_SIZES else size,
    )


def wav_seconds(start: bytes, total_bytes: int) -> Decimal | None:
    """Seconds of a WAV file of `total_bytes` that begins with `start`; None if it is no WAV file.

    The file's real length bounds what the header promises: a cut-off upload lasts as long as its bytes.
    """
    header = wav_header(start)
    if header is None:
        return None
    present = max(0, total_bytes - header.data_offset_bytes)
    data = present if header.data_bytes is None else min(present, header.data_bytes)
    return seconds_of_bytes(data, header.bytes_per_second)
