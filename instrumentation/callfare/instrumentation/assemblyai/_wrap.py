"""Wrappers of AssemblyAI's calls: finished transcripts, uploads, the socket's `connect`, speech."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.failure import http_status_of
from callfare.calls.running import opening
from callfare.calls.span import CallRequest, CallSpan, is_inside_call, open_call
from callfare.calls.websocket import Listener, WatchedAsyncSocket, WatchedSocket, record_refusal
from callfare.calls.wrapping import Wrapper, around_async_call, around_call
from callfare.guard import quietly
from callfare.instrumentation.assemblyai import _usage
from callfare.instrumentation.assemblyai._sockets import listener_for

__all__ = [
    "async_connect",
    "async_dictate",
    "async_open_speech",
    "async_synthesize",
    "async_transcribe_now",
    "async_wait",
    "connect",
    "dictate",
    "open_speech",
    "synthesize",
    "transcribe_now",
    "wait",
]

_KNOWN_MAX = 10_000
_known: OrderedDict[str, None] = OrderedDict()
_lock = threading.Lock()


# --- Recorded audio ------------------------------------------------------------------------------------------


def wait(tracer: Tracer) -> Wrapper:
    """`wait_for_completion`: every way to a finished transcript ends in it, and only there its length is known."""

    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        started_at_unix_ns = time.time_ns()
        answer = wrapped(*args, **kwargs)
        _finished(tracer, getattr(answer, "transcript", None), started_at_unix_ns)
        return answer

    return wrapper


def async_wait(tracer: Tracer) -> Wrapper:
    """The same, awaited."""

    async def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        started_at_unix_ns = time.time_ns()
        answer = await wrapped(*args, **kwargs)
        _finished(tracer, getattr(answer, "_transcript", None), started_at_unix_ns)
        return answer

    return wrapper


@quietly
def _finished(tracer: Tracer, response: Any, started_at_unix_ns: int) -> None:
    transcript = _usage.transcript_of(response)
    if transcript is None or is_inside_call(_usage.PROVIDER) or not _is_news(transcript.transcript_id):
        return
    open_call(tracer, _usage.request_of_transcript(transcript), start_time_unix_ns=started_at_unix_ns).end()


def _is_news(transcript_id: str) -> bool:
    """A transcript is billed once, however often it is fetched."""
    with _lock:
        if transcript_id in _known:
            return False
        _known[transcript_id] = None
        while len(_known) > _KNOWN_MAX:
            _known.popitem(last=False)
        return True


def _read_sync(_instance: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> CallRequest:
    return _usage.upload_request("sync")


def _read_dictation(_instance: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> CallRequest:
    return _usage.upload_request("dictation")


def _read_uploaded(call: CallSpan, answer: Any) -> None:
    milliseconds = getattr(answer, "audio_duration_ms", None)
    if milliseconds is not None:
        call.replace(names.AUDIO_INPUT_SECONDS, Decimal(milliseconds) / 1000, source="vendor_body")
    call.set(names.RESPONSE_ID, getattr(answer, "session_id", None))


transcribe_now = around_call(_read_sync, _read_uploaded)
async_transcribe_now = around_async_call(_read_sync, _read_uploaded)
dictate = around_call(_read_dictation, _read_uploaded)
async_dictate = around_async_call(_read_dictation, _read_uploaded)


# --- Sockets -------------------------------------------------------------------------------------------------


def connect(tracer: Tracer) -> Wrapper:
    """`websocket_connect(uri, ...)` of the streaming module, through which speech sessions connect as well."""

    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = _read_url(args, kwargs)
        started_at_unix_ns = time.time_ns()
        with opening(request):
            try:
                connection = wrapped(*args, **kwargs)
            except BaseException as error:
                _refused(tracer, request, error, started_at_unix_ns)
                raise
            listener = _listen(tracer, request)
        return connection if listener is None else WatchedSocket(connection, listener)

    return wrapper


def async_connect(tracer: Tracer) -> Wrapper:
    """`websocket_connect_async(uri, ...)`, awaited by the SDK."""

    async def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = _read_url(args, kwargs)
        started_at_unix_ns = time.time_ns()
        with opening(request):
            try:
                connection = await wrapped(*args, **kwargs)
            except BaseException as error:
                _refused(tracer, request, error, started_at_unix_ns)
                raise
            listener = _listen(tracer, request)
        return connection if listener is None else WatchedAsyncSocket(connection, listener)

    return wrapper


@quietly
def _read_url(args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    if is_inside_call(_usage.PROVIDER):
        return None
    return _usage.socket_request(str(kwargs.get("uri", args[0] if args else "")))


@quietly
def _listen(tracer: Tracer, request: CallRequest | None) -> Listener | None:
    return None if request is None else listener_for(tracer, request)


def _refused(tracer: Tracer, request: CallRequest | None, error: BaseException, started_at_unix_ns: int) -> None:
    """Record a refusal by the vendor; the SDK tries again after other failures."""
    if request is not None and http_status_of(error) is not None:
        record_refusal(tracer, request, error, started_at_unix_ns)


# --- Speech --------------------------------------------------------------------------------------------------


def _read_synthesize(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    text = kwargs.get("text", args[0] if args else None)
    return _usage.speech_request(text, None, is_stream=False)


def _read_synthesized(call: CallSpan, answer: Any) -> None:
    call.set(names.RESPONSE_ID, answer.request_id)
    call.set(names.RESPONSE_MODEL, answer.model)
    call.set(names.SPEECH_VOICE, answer.voice_id)
    _count(call, answer.billed_characters, answer.audio_duration_ms)


def _read_stream(instance: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> CallRequest | None:
    """Opened once, however often it is asked for."""
    if instance._response is not None:  # noqa: SLF001 - the SDK's own mark that the request went out
        return None
    body: Mapping[str, Any] = instance._body  # noqa: SLF001
    return _usage.speech_request(body.get("text"), body.get("voice_id"), is_stream=True)


def _read_headers(call: CallSpan, response: Any) -> None:
    headers: Mapping[str, str] = response.headers
    call.set(names.RESPONSE_ID, headers.get("x-request-id"))
    call.set(names.RESPONSE_MODEL, headers.get("x-tts-model"))
    _count(call, headers.get("x-tts-billed-characters"), headers.get("x-tts-audio-duration-ms"))


def _count(call: CallSpan, characters: str | int | None, milliseconds: str | int | None) -> None:
    if milliseconds is not None:
        call.replace(names.AUDIO_OUTPUT_SECONDS, Decimal(milliseconds) / 1000)
    if characters is not None:
        call.replace(names.BILLED_QUANTITY, Decimal(characters), source="vendor_header")
        call.set(names.BILLED_UNIT, "character")


synthesize = around_call(_read_synthesize, _read_synthesized)
async_synthesize = around_async_call(_read_synthesize, _read_synthesized)
open_speech = around_call(_read_stream, _read_headers)
async_open_speech = around_async_call(_read_stream, _read_headers)
