"""Wrappers of `audio.speech`, `audio.transcriptions` and `audio.translations`, sync and async.

One class-level patch covers the plain call, `with_raw_response` and `with_streaming_response`: the SDK's raw
wrappers call the same method. What differs is the answer: parsed, raw with its body read, raw with its body
still to come, or a stream of events. The last two are watched until they are over.
"""

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.span import CallRequest, CallSpan
from callfare.calls.stream import AsyncStream, OnEnd, SyncStream
from callfare.calls.wrapping import MakeWrapper, Wrapper, around_async_call, around_call
from callfare.instrumentation.openai_audio._body import Body, put_usage
from callfare.instrumentation.openai_audio._upload import Upload
from callfare.instrumentation.openai_audio._usage import field, speech_request, transcription_request

__all__ = ["create_speech", "create_speech_async", "create_transcription", "create_transcription_async"]


def _read_response(call: CallSpan, response: Any, body: Body, sum_up: OnEnd) -> bool:
    """Read an HTTP answer; True if its body is still to come and the call ends with it."""
    call.set(names.HTTP_STATUS_CODE, response.status_code)
    retries = response.request.headers.get("x-stainless-retry-count", "0")
    if retries.isdecimal() and int(retries):
        call.replace(names.REQUEST_ATTEMPTS, int(retries) + 1)
    if response.is_stream_consumed or response.is_closed:
        call.has_output = True
        if body.is_worth_reading:
            body.see(call, response.content)
        sum_up(call)
        return False
    call.is_streaming = True
    body.arrives_encoded()
    stream = response.stream
    kind = AsyncStream if hasattr(stream, "__aiter__") and not hasattr(stream, "__iter__") else SyncStream
    response.stream = kind(stream, call, body.see if body.is_worth_reading else None, sum_up)
    return True


def _read_speech(call: CallSpan, answer: Any) -> Any:
    response = getattr(answer, "http_response", None) or getattr(answer, "response", None)
    if response is None:
        return None
    body = Body(response, is_speech=True)
    return answer if _read_response(call, response, body, body.sum_up) else None


create_speech = around_call(speech_request, _read_speech)
create_speech_async = around_async_call(speech_request, _read_speech)


class _Transcription:
    """One transcription: its file, and whether the answer stated usage."""

    def __init__(self, kwargs: dict[str, Any]) -> None:
        self._upload = Upload(kwargs.get("file"))
        self._is_measured = False

    def request(self, resource: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
        """What goes out."""
        seconds = self._upload.wav_seconds()
        self._is_measured = seconds is not None
        return transcription_request(resource, kwargs, seconds)

    def read(self, call: CallSpan, answer: Any) -> Any:
        """What comes back."""
        raw = field(answer, "http_response")
        if raw is not None:
            body = Body(raw, is_speech=False)
            return answer if _read_response(call, raw, body, lambda call: self._sum_up(call, body)) else None
        if hasattr(answer, "__aiter__"):
            return AsyncStream(answer, call, self._read_event, self._measure)
        if hasattr(answer, "__next__"):
            return SyncStream(answer, call, self._read_event, self._measure)
        self._is_measured |= put_usage(call, answer, is_speech=False)
        self._measure(call)
        call.content("transcript", field(answer, "text") or (answer if isinstance(answer, str) else ""))
        return None

    def _read_event(self, call: CallSpan, event: Any) -> None:
        if field(event, "usage") is not None:
            self._is_measured |= put_usage(call, event, is_speech=False)

    def _sum_up(self, call: CallSpan, body: Body) -> None:
        body.sum_up(call)
        self._is_measured |= body.has_usage
        self._measure(call)

    def _measure(self, call: CallSpan) -> None:
        """Measure the file itself, if nothing else gives its length."""
        if not self._is_measured:
            call.replace(names.AUDIO_INPUT_SECONDS, self._upload.seconds(), source="client")


def _transcribing(around: Callable[..., MakeWrapper]) -> MakeWrapper:
    def make(tracer: Tracer) -> Wrapper:
        def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            transcription = _Transcription(kwargs)
            return around(transcription.request, transcription.read)(tracer)(wrapped, instance, args, kwargs)

        return wrapper

    return make


create_transcription = _transcribing(around_call)
create_transcription_async = _transcribing(around_async_call)
