"""Wrappers of ElevenLabs' HTTP calls.

2.x: the raw clients, below the public methods and below `with_raw_response` alike. Their `convert` and `stream`
are context managers: the request goes out on entry, the audio follows while the context is open; leaving it
before the audio's end is a barge-in. 1.x has no raw clients: its public methods are lazy generators, and the
answer's headers, and with them the vendor's meter, are out of reach.
"""

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.span import CallSpan
from callfare.calls.stream import AsyncStream, SyncStream
from callfare.calls.wrapping import (
    MakeWrapper,
    ReadAnswer,
    ReadRequest,
    Wrapper,
    around_async_call,
    around_async_context,
    around_async_generator,
    around_call,
    around_context,
    around_generator,
)
from callfare.instrumentation.elevenlabs import _usage

__all__ = [
    "answered",
    "answered_async",
    "generated",
    "generated_async",
    "streamed",
    "streamed_async",
    "transcribed",
    "transcribed_async",
]


def _read_headers(call: CallSpan, response: Any) -> None:
    headers = response.headers
    call.set(names.HTTP_STATUS_CODE, getattr(getattr(response, "_response", None), "status_code", None))
    call.set(names.RESPONSE_ID, headers.get("request-id"))
    credits_ = _usage.credits_of(headers)
    if credits_ is not None:
        call.replace(names.BILLED_QUANTITY, credits_, source="vendor_header")
        call.set(names.BILLED_UNIT, "credits")


class _Audio:
    """Counts the bytes of an answer, from which its seconds follow if the format allows it."""

    def __init__(self, rate_bytes_per_second: int | None) -> None:
        self._rate = rate_bytes_per_second
        self._bytes = 0

    def see(self, _call: CallSpan, chunk: bytes) -> None:
        """One piece of the body."""
        self._bytes += len(chunk)

    def sum_up(self, call: CallSpan) -> None:
        """The seconds that arrived."""
        if self._rate:
            call.replace(names.AUDIO_OUTPUT_SECONDS, _usage.seconds_of_bytes(self._bytes, self._rate))


def _read_stream(rate: int | None, *, is_async: bool) -> Any:
    """Reader of what the raw client's context yields: headers now, and the body as it passes."""

    def read(call: CallSpan, response: Any) -> Any:
        _read_headers(call, response)
        http = response._response  # noqa: SLF001 - the SDK offers no other way to the body
        audio = _Audio(rate)
        call.is_streaming = True
        kind = AsyncStream if is_async else SyncStream
        http.stream = kind(http.stream, call, audio.see, audio.sum_up)

    return read


def _streamed(request: ReadRequest, *, is_audio: bool, is_async: bool) -> MakeWrapper:
    around = around_async_context if is_async else around_context

    def make(tracer: Tracer) -> Wrapper:
        def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            rate = _usage.audio_rate(kwargs) if is_audio else None
            return around(request, _read_stream(rate, is_async=is_async))(tracer)(wrapped, instance, args, kwargs)

        return wrapper

    return make


def streamed(request: ReadRequest, *, is_audio: bool = True) -> MakeWrapper:
    """A raw method that yields a streamed answer; `is_audio` where its body is bare audio."""
    return _streamed(request, is_audio=is_audio, is_async=False)


def streamed_async(request: ReadRequest, *, is_audio: bool = True) -> MakeWrapper:
    """The same, asynchronous."""
    return _streamed(request, is_audio=is_audio, is_async=True)


def answered(request: ReadRequest) -> MakeWrapper:
    """A raw method that returns a complete answer."""
    return around_call(request, _read_headers)


def answered_async(request: ReadRequest) -> MakeWrapper:
    """The same, asynchronous."""
    return around_async_call(request, _read_headers)


def generated(request: ReadRequest) -> MakeWrapper:
    """A public generator method of 1.x."""
    return around_generator(request)


def generated_async(request: ReadRequest) -> MakeWrapper:
    """The same, asynchronous."""
    return around_async_generator(request)


def _read_transcript(kwargs: dict[str, Any]) -> ReadAnswer:
    """Reader of a transcription: what was asked for says whether the answer's length counts once or by channel."""

    def read(call: CallSpan, answer: Any) -> None:
        if hasattr(answer, "headers"):
            _read_headers(call, answer)
            answer = answer.data
        seconds = _usage.transcribed_seconds(answer)
        call.replace(names.AUDIO_INPUT_SECONDS, seconds, source="vendor_body")
        channels = _usage.transcribed_channels(kwargs, answer)
        if seconds is not None or channels > 1:  # an answer that goes to a webhook has neither here
            call.replace(names.AUDIO_CHANNELS, channels)
        call.content("transcript", getattr(answer, "text", None) or "")

    return read


def _transcribed(around: Callable[[ReadRequest, ReadAnswer], MakeWrapper]) -> MakeWrapper:
    def make(tracer: Tracer) -> Wrapper:
        def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            read = around(_usage.transcription_request, _read_transcript(kwargs))
            return read(tracer)(wrapped, instance, args, kwargs)

        return wrapper

    return make


transcribed = _transcribed(around_call)
transcribed_async = _transcribed(around_async_call)
