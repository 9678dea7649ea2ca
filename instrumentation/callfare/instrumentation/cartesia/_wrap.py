"""Wrappers of Cartesia's calls: resources over HTTP, and the connection under every socket."""

import time
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.running import opening
from callfare.calls.span import CallRequest, CallSpan, is_inside_call
from callfare.calls.stream import AsyncStream, SyncStream
from callfare.calls.websocket import WatchedAsyncSocket, WatchedSocket, record_refusal
from callfare.calls.wrapping import (
    Wrapper,
    around_async_call,
    around_async_generator,
    around_call,
    around_generator,
)
from callfare.guard import quietly
from callfare.instrumentation.cartesia import _usage
from callfare.instrumentation.cartesia._clip import clip_seconds
from callfare.instrumentation.cartesia._sockets import Contexts, Recogniser

__all__ = [
    "async_change_voice",
    "async_change_voice_sse",
    "async_change_voice_v2",
    "async_connect_recogniser",
    "async_generate",
    "async_generate_v2",
    "async_infill",
    "async_infill_v2",
    "async_speech_connection",
    "async_sse",
    "async_transcribe",
    "change_voice",
    "change_voice_sse",
    "change_voice_v2",
    "connect_recogniser",
    "connect_v2",
    "generate",
    "generate_v2",
    "infill",
    "infill_v2",
    "speech_connection",
    "sse",
    "transcribe",
]

_RECOGNISER = "_callfare_recogniser"


def _read_speech(_instance: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    return _usage.speech_request(kwargs, is_stream=False)


def _read_infill(_instance: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    return _usage.infill_request(kwargs)


def _read_clip(_instance: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    return _usage.conversion_request(kwargs, clip_seconds(kwargs.get("clip")))


def _read_file(_instance: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
    return _usage.transcribe_request(kwargs)


def _read_transcript(call: CallSpan, answer: Any) -> None:
    seconds = _usage.transcribed_seconds(answer)
    call.replace(names.AUDIO_INPUT_SECONDS, seconds, source="vendor_body")
    if seconds is None:
        call.set(names.USAGE_SOURCE, "unknown")  # unless the file has its length


def _read_event(call: CallSpan, event: Any) -> None:
    """An error in the middle of an answer: errors cost nothing, and what was spoken before one does."""
    if getattr(event, "type", "") == "error":
        call.source = "estimated"


def _watch_stream(call: CallSpan, answer: Any) -> Any:
    """A raw response is no stream: the call is then over with it."""
    return SyncStream(answer, call, _read_event) if hasattr(answer, "__next__") else None


def _watch_async_stream(call: CallSpan, answer: Any) -> Any:
    return AsyncStream(answer, call, _read_event) if hasattr(answer, "__anext__") else None


generate = around_call(_read_speech)
async_generate = around_async_call(_read_speech)
generate_v2 = around_generator(_read_speech)
async_generate_v2 = around_async_generator(_read_speech)
sse = around_call(_read_speech, _watch_stream)
async_sse = around_async_call(_read_speech, _watch_async_stream)
infill = around_call(_read_infill)
async_infill = around_async_call(_read_infill)
infill_v2 = around_generator(_read_infill)
async_infill_v2 = around_async_generator(_read_infill)
change_voice = around_call(_read_clip)
async_change_voice = around_async_call(_read_clip)
change_voice_sse = around_call(_read_clip, _watch_stream)
async_change_voice_sse = around_async_call(_read_clip, _watch_async_stream)
change_voice_v2 = around_generator(_read_clip)
async_change_voice_v2 = around_async_generator(_read_clip)
transcribe = around_call(_read_file, _read_transcript)
async_transcribe = around_async_call(_read_file, _read_transcript)


# --- Sockets -------------------------------------------------------------------------------------------------


def speech_connection(tracer: Tracer) -> Wrapper:
    """`TTSResourceConnection.__init__(connection, manager)`: contexts, back-compatible or not, all send through it."""
    return _replacing(tracer, WatchedSocket)


def async_speech_connection(tracer: Tracer) -> Wrapper:
    """The same for asyncio."""
    return _replacing(tracer, WatchedAsyncSocket)


def _replacing(tracer: Tracer, proxy: Any) -> Wrapper:
    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = wrapped(*args, **kwargs)
        _watch(instance)
        return result

    @quietly
    def _watch(instance: Any) -> None:
        if not is_inside_call(_usage.PROVIDER):
            instance._connection = proxy(instance._connection, Contexts(tracer))  # noqa: SLF001 - the SDK's seam

    return wrapper


def connect_recogniser(tracer: Tracer) -> Wrapper:
    """`*ConnectionManager._connect_ws`: called at the start and at every reconnect."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        started_at_unix_ns = time.time_ns()
        with opening(_first_request(instance)):
            try:
                connection = wrapped(*args, **kwargs)
            except BaseException as error:
                _refused(tracer, instance, error, started_at_unix_ns)
                raise
            listener = _recogniser(tracer, instance, connection)
        return connection if listener is None else WatchedSocket(connection, listener)

    return wrapper


def async_connect_recogniser(tracer: Tracer) -> Wrapper:
    """The same, awaited."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        started_at_unix_ns = time.time_ns()
        with opening(_first_request(instance)):
            try:
                connection = await wrapped(*args, **kwargs)
            except BaseException as error:
                _refused(tracer, instance, error, started_at_unix_ns)
                raise
            listener = _recogniser(tracer, instance, connection)
        return connection if listener is None else WatchedAsyncSocket(connection, listener)

    return wrapper


def _refused(tracer: Tracer, manager: Any, error: BaseException, started_at_unix_ns: int) -> None:
    request = _first_request(manager)
    if request is not None:
        record_refusal(tracer, request, error, started_at_unix_ns)


@quietly
def _first_request(manager: Any) -> CallRequest | None:
    """The request of a first connection; a reconnect belongs to the session that is open."""
    known: Recogniser | None = getattr(manager, _RECOGNISER, None)
    if (known is not None and known.is_open) or is_inside_call(_usage.PROVIDER):
        return None
    return _usage.socket_request({"model": getattr(manager, f"_{type(manager).__name__}__model", "")})


@quietly
def _recogniser(tracer: Tracer, manager: Any, connection: Any) -> Recogniser | None:
    known: Recogniser | None = getattr(manager, _RECOGNISER, None)
    if (known is not None and known.is_open) or is_inside_call(_usage.PROVIDER):
        return known  # a reconnect; a manager that is entered once more starts a new session
    parameters = _usage.stream_parameters(connection.request.path)
    reconnects = getattr(manager, f"_{type(manager).__name__}__on_reconnecting", None) is not None
    made = Recogniser(tracer, _usage.socket_request(parameters), parameters, reconnects=reconnects)
    setattr(manager, _RECOGNISER, made)
    return made


def connect_v2(tracer: Tracer) -> Wrapper:
    """`connect` as SDK 2 imports it from websockets, for speech and recognition alike."""

    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        url = str(args[0]) if args else ""
        with opening(_read_url_v2(url)):
            connection = wrapped(*args, **kwargs)
            listener = _listen_v2(tracer, url)
        return connection if listener is None else WatchedSocket(connection, listener)

    return wrapper


@quietly
def _read_url_v2(url: str) -> CallRequest | None:
    if "/tts/" in url or is_inside_call(_usage.PROVIDER):
        return None
    return _usage.socket_request(_usage.stream_parameters(url))


@quietly
def _listen_v2(tracer: Tracer, url: str) -> Contexts | Recogniser | None:
    if is_inside_call(_usage.PROVIDER):
        return None
    if "/tts/" in url:
        return Contexts(tracer)
    parameters = _usage.stream_parameters(url)
    return Recogniser(tracer, _usage.socket_request(parameters), parameters, reconnects=False)
