"""The body of an answer: what it says of usage, and how long its sound is, read as it passes to the application."""

import json
import zlib
from typing import Any, Final

from callfare import attributes as names
from callfare.audio.meter import AudioMeter
from callfare.calls.span import CallSpan
from callfare.instrumentation.openai_audio._usage import (
    speech_in_events,
    usage_in_body,
    usage_quantities,
)

__all__ = ["Body", "put_usage"]

_TEXT_BYTES_MAX = 4_000_000
"""Of a streamed text so much is kept to look for usage: its last part, where usage stands."""
_PCM_BYTES_PER_SECOND: Final = 24_000 * 2
"""OpenAI's `pcm`: 24 kHz, 16 bit, mono (API reference of audio/speech, 2026-11)."""
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


def put_usage(call: CallSpan, holder: Any, *, is_speech: bool) -> bool:
    """Put what an answer, event or object states onto the call; whether that was anything."""
    stated = {} if holder is None else usage_quantities(holder, output_is_audio=is_speech)
    for name, amount in stated.items():
        call.replace(name, amount, source="vendor_body")
    return bool(stated)


class Body:
    """Reads one body: fed by `see`, and put onto the call by `sum_up`."""

    def __init__(self, response: Any, *, is_speech: bool) -> None:
        """Look at the headers only."""
        kind = response.headers.get("content-type", "")
        self._response = response
        self._is_speech = is_speech
        self._is_text = "json" in kind or "event-stream" in kind
        self._text = bytearray()
        self._is_cut = False
        """Whether the beginning of the text is gone."""
        self._meter = AudioMeter()
        self.is_worth_reading = is_speech or self._is_text
        self._inflate: Any = None
        self.has_usage = False
        """Whether anything of usage was in it."""

    def arrives_encoded(self) -> None:
        """Note that the next bytes are those of the wire: compressed, if the headers name an encoding."""
        encoding = self._response.headers.get("content-encoding", "identity")
        if encoding in ("gzip", "deflate"):
            self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB).decompress
        elif encoding != "identity":
            self.is_worth_reading = False

    def see(self, _call: CallSpan, chunk: bytes) -> None:
        """One piece of the body."""
        if self._inflate is not None:
            chunk = self._inflate(chunk)
        if not self._is_text:
            self._meter.feed(chunk)
            return
        self._text += chunk
        if len(self._text) > 2 * _TEXT_BYTES_MAX:
            del self._text[:-_TEXT_BYTES_MAX]
            self._is_cut = True

    def sum_up(self, call: CallSpan) -> None:
        """What the whole body says."""
        if self._is_text:
            self.has_usage = put_usage(call, usage_in_body(bytes(self._text)), is_speech=self._is_speech)
            if self._is_cut or self.has_usage or not self._is_speech:
                return
            for piece in speech_in_events(bytes(self._text)):  # left before the last event, which has the tokens
                self._meter.feed(piece)
        if self._is_speech:
            seconds = self._meter.raw_seconds(_PCM_BYTES_PER_SECOND) if self._is_pcm() else self._meter.seconds()
            # No sound yet is no length: as a quantity of 0 it would make the call free.
            call.replace(names.AUDIO_OUTPUT_SECONDS, seconds or None)

    def _is_pcm(self) -> bool:
        """Raw samples cannot be recognised by their bytes: the answer's header or the request names the format."""
        if "pcm" in self._response.headers.get("content-type", ""):
            return True
        if self._meter.is_of_known_kind:
            return False
        asked = json.loads(self._response.request.content)
        return isinstance(asked, dict) and asked.get("response_format") == "pcm"
