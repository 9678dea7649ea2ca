"""Seconds of a clip that the application uploads: bytes, a path, or an open file.

The voice changer is billed by its input, and its answer does not report the input's length. An open file is read and
its position restored; anything that cannot be read, or is no WAV file, has no length here.
"""

import io
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

from callfare.audio.duration import wav_seconds

__all__ = ["clip_seconds"]

_HEADER_BYTES = 4096


def clip_seconds(clip: Any) -> Decimal | None:
    """The length of a WAV file in any of the forms that the SDK takes: alone, or after its name in a tuple."""
    content = clip[1] if isinstance(clip, tuple) and len(clip) > 1 else clip
    try:
        if isinstance(content, (bytes, bytearray)):
            return wav_seconds(bytes(content[:_HEADER_BYTES]), len(content))
        if isinstance(content, os.PathLike):
            path = Path(content)
            with path.open("rb") as file:
                return wav_seconds(file.read(_HEADER_BYTES), path.stat().st_size)
        if isinstance(content, (io.BufferedIOBase, io.RawIOBase)) and content.seekable():
            return _seconds_of_file(content)
    except (OSError, ValueError):
        return None  # the SDK will say what is wrong with it
    return None


def _seconds_of_file(file: io.BufferedIOBase | io.RawIOBase) -> Decimal | None:
    at = file.tell()
    try:
        size = file.seek(0, os.SEEK_END) - at
        file.seek(at)
        return wav_seconds(file.read(_HEADER_BYTES) or b"", size)
    finally:
        file.seek(at)
