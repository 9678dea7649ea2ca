"""The audio file of a transcription: how long it is, read without changing it.

A WAV header is read before the request goes out, so that a call nobody answers is measured too. Any other file is
read through only where the answer turns out to state no usage (`response_format` text, srt, vtt; a stream left
early): that costs milliseconds, not microseconds. The file is left as it was found, its position included.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from callfare.audio.duration import wav_seconds
from callfare.audio.meter import START_BYTES, AudioMeter

__all__ = ["Upload"]

_BYTES_MAX = 26 * 1024 * 1024
"""OpenAI takes no more than 25 MB (API reference of audio/transcriptions, 2026-11)."""
_BLOCK_BYTES = 1 << 16


class Upload:
    """One file in any form the SDK takes: bytes, path, file object, or a tuple of name and one of these."""

    def __init__(self, file: Any) -> None:
        """Remember the file; it is not touched yet."""
        self._file: Any = file[1] if isinstance(file, tuple) and len(file) > 1 else file

    def wav_seconds(self) -> Decimal | None:
        """Seconds of a WAV file; None for other audio. Ask before the SDK reads the file."""
        file = self._file
        if isinstance(file, (bytes, bytearray)):
            return wav_seconds(bytes(file[:START_BYTES]), len(file))
        with self._opened() as opened:
            if opened is None:
                return None
            start = opened.read(START_BYTES)
            return wav_seconds(start, opened.seek(0, os.SEEK_END)) if isinstance(start, bytes) else None

    def seconds(self) -> Decimal | None:
        """Seconds of a file of any kind that can be measured, read through; None otherwise."""
        meter = AudioMeter()
        with suppress(OSError, ValueError):  # gone or closed by now
            for block in self._blocks():
                meter.feed(block)
            return meter.seconds()
        return None

    def _blocks(self) -> Iterator[bytes]:
        if isinstance(self._file, (bytes, bytearray)):
            yield bytes(self._file[:_BYTES_MAX])
            return
        with self._opened() as opened:
            if opened is None:
                return
            for _ in range(_BYTES_MAX // _BLOCK_BYTES):
                block = opened.read(_BLOCK_BYTES)
                if not isinstance(block, bytes) or not block:
                    return
                yield block

    @contextmanager
    def _opened(self) -> Generator[Any, None, None]:
        """The file from its beginning; None where it cannot be read twice.

        From its beginning, wherever it stands: httpx rewinds every file it uploads.
        """
        if isinstance(self._file, os.PathLike):
            with Path(self._file).open("rb") as opened:
                yield opened
        elif _can_be_read_again(self._file):
            position = self._file.tell()
            self._file.seek(0)
            try:
                yield self._file
            finally:
                self._file.seek(position)
        else:
            yield None


def _can_be_read_again(file: Any) -> bool:
    """Files of every make, temporary ones among them, which are no `io.IOBase`."""
    seekable = getattr(file, "seekable", None)
    return callable(seekable) and bool(seekable())
