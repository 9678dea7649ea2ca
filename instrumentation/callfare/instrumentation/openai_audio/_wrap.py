"""Wrappers of `audio.speech`, `audio.transcriptions` and `audio.translations`, sync and async.

One class-level patch covers the plain call, `with_raw_response` and `with_streaming_response`: the SDK's raw
wrappers call the same method. What differs is the answer: parsed, raw with its body read, raw with its body
still to come, or a stream of events. The last two are watched until they are over.
"""

from typing import Any

from callfare import attributes as names
from callfare.instrumentation.openai_audio._usage import (
    field,
    speech_request,
    speech_seconds,
    transcription_request,
    usage_in_body,
    usage_quantities,
)
from callfare.span import CallSpan
from callfare.stream import AsyncStream, SyncStream
from callfare.wrapping import around_async_call, around_call

__all__ = ["create_speech", "create_speech_async", "create_transcription", "create_transcription_async"]

_BODY_BYTES_MAX = 4_000_000
"""Of a streamed answer, so much is kept to look for usage: its last part, where usage stands."""
_START_BYTES = 4096


class _Body:
    """Counts a body as it passes, and keeps what tells of usage: its beginning and its end."""

    def __init__(self, response: Any, *, is_speech: bool) -> None:
        headers = response.headers
        kind = headers.get("content-type", "")
        self._is_speech = is_speech
        self._is_text = "json" in kind or "event-stream" in kind
        self._audio = ("pcm" if "pcm" in kind else "wav" if "wav" in kind else "") if is_speech else ""
        self.tells_usage = bool(self._is_text or self._audio) and "content-encoding" not in headers
        """Whether it is worth reading: most speech is MP3, whose length only a decoder could tell."""
        self._start = b""
        self._end = bytearray()
        self._total_bytes = 0

    def see(self, _call: CallSpan, chunk: bytes) -> None:
        """One piece of the body."""
        self._total_bytes += len(chunk)
        if len(self._start) < _START_BYTES:
            self._start += chunk[:_START_BYTES]
        if self._is_text:
            self._end += chunk
            if len(self._end) > 2 * _BODY_BYTES_MAX:
                del self._end[:-_BODY_BYTES_MAX]

    def sum_up(self, call: CallSpan) -> None:
        """What the whole body says."""
        if self._is_text:
            _put_usage(call, usage_in_body(bytes(self._end)), is_speech=self._is_speech)
        else:
            call.replace(names.AUDIO_OUTPUT_SECONDS, speech_seconds(self._audio, self._start, self._total_bytes))


def _put_usage(call: CallSpan, holder: Any, *, is_speech: bool) -> None:
    if holder is None:
        return
    for name, amount in usage_quantities(holder, output_is_audio=is_speech).items():
        call.replace(name, amount, source="vendor_body")


def _read_response(call: CallSpan, response: Any, *, is_speech: bool) -> bool:
    """Read an HTTP answer; True if its body is still to come and the call ends with it."""
    call.set(names.HTTP_STATUS_CODE, response.status_code)
    retries = response.request.headers.get("x-stainless-retry-count", "0")
    if retries.isdecimal() and int(retries):
        call.replace(names.REQUEST_ATTEMPTS, int(retries) + 1)
    body = _Body(response, is_speech=is_speech)
    if response.is_stream_consumed or response.is_closed:
        call.has_output = True
        if body.tells_usage:
            body.see(call, response.content)
            body.sum_up(call)
        return False
    call.is_streaming = True
    stream = response.stream
    kind = AsyncStream if hasattr(stream, "__aiter__") and not hasattr(stream, "__iter__") else SyncStream
    response.stream = kind(stream, call, body.see, body.sum_up) if body.tells_usage else kind(stream, call)
    return True


def _read_speech(call: CallSpan, answer: Any) -> Any:
    response = getattr(answer, "http_response", None) or getattr(answer, "response", None)
    return answer if response is not None and _read_response(call, response, is_speech=True) else None


def _read_transcription(call: CallSpan, answer: Any) -> Any:
    raw = field(answer, "http_response")
    if raw is not None:
        return answer if _read_response(call, raw, is_speech=False) else None
    if hasattr(answer, "__aiter__"):
        return AsyncStream(answer, call, _read_event)
    if hasattr(answer, "__next__"):
        return SyncStream(answer, call, _read_event)
    _put_usage(call, answer, is_speech=False)
    call.content("transcript", field(answer, "text") or (answer if isinstance(answer, str) else ""))
    return None


def _read_event(call: CallSpan, event: Any) -> None:
    if field(event, "usage") is not None:
        _put_usage(call, event, is_speech=False)


create_speech = around_call(speech_request, _read_speech)
create_speech_async = around_async_call(speech_request, _read_speech)
create_transcription = around_call(transcription_request, _read_transcription)
create_transcription_async = around_async_call(transcription_request, _read_transcription)
