"""Measure the seconds of an audio file from its bytes, as they pass. Pure.

    meter = AudioMeter()
    for piece in body:
        meter.feed(piece)
    meter.seconds()

WAV by its header, MP3, AAC, Opus, Vorbis and FLAC by their frames; None for MP4, WebM and whatever else needs a
decoder, and for raw samples, which have no header: the caller must know their rate.
"""

from decimal import Decimal

from callfare.audio.duration import seconds_of_bytes, wav_seconds
from callfare.audio.frames import FrameReader, reader_for

__all__ = ["START_BYTES", "AudioMeter"]

START_BYTES = 4096
"""So much of a WAV file holds all of its header."""
_KIND_BYTES = 16


class AudioMeter:
    """Measures one file."""

    def __init__(self) -> None:
        """Begin before the first byte."""
        self._start = b""
        self._total_bytes = 0
        self._reader: FrameReader | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        had_bytes = self._total_bytes
        self._total_bytes += len(chunk)
        if self._reader is not None:
            self._reader.feed(chunk)
        elif had_bytes < START_BYTES:
            self._start += chunk[: START_BYTES - had_bytes]
            if had_bytes < _KIND_BYTES <= self._total_bytes:
                self._reader = reader_for(self._start)
                if self._reader is not None:
                    self._reader.feed(self._start + chunk[len(self._start) - had_bytes :])

    @property
    def is_of_known_kind(self) -> bool:
        """Whether the bytes say what they are."""
        return self._reader is not None or self._start[:4] == b"RIFF"

    def seconds(self) -> Decimal | None:
        """Length of what has passed; None if the bytes do not give it."""
        return wav_seconds(self._start, self._total_bytes) if self._reader is None else self._reader.seconds()

    def raw_seconds(self, rate_bytes_per_second: int) -> Decimal | None:
        """Length of the same bytes as raw samples."""
        return seconds_of_bytes(self._total_bytes, rate_bytes_per_second)
