"""Wrappers of Deepgram's calls, in each shape of the SDK.

5 to 7 are generated: raw clients under every public method, `connect` for sockets, keyword arguments throughout.
3 and 4 are written by hand: `options` as a dictionary or an object, and one `connect` of the websockets package
per base class, whose address says everything.
"""

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.running import opening
from callfare.calls.span import CallRequest, CallSpan, is_inside_call
from callfare.calls.stream import watch_async_generator, watch_generator
from callfare.calls.websocket import (
    WatchedAsyncSocket,
    WatchedSocket,
    around_async_socket,
    around_socket,
    record_refusal,
)
from callfare.calls.wrapping import (
    MakeWrapper,
    ReadRequest,
    Wrapper,
    around_async_call,
    around_async_context,
    around_call,
    around_context,
)
from callfare.guard import quietly
from callfare.instrumentation.deepgram import _sockets, _usage

__all__ = [
    "async_callback_v3",
    "async_connect",
    "async_connect_function",
    "async_speak",
    "async_speak_v3",
    "async_transcribe",
    "async_transcribe_v3",
    "callback_v3",
    "connect",
    "connect_function",
    "speak",
    "speak_v3",
    "transcribe",
    "transcribe_v3",
]


def _parameters(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of a method, with what is added to the address by hand."""
    extra = (kwargs.get("request_options") or {}).get("additional_query_parameters") or {}
    return {**kwargs, **extra}


# --- Pre-recorded audio --------------------------------------------------------------------------------------


def _read_file(_instance: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
    return _usage.file_request("file" if "request" in kwargs else "url", kwargs.get("request"), _parameters(kwargs))


def _read_file_v3(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
    return _source_request_v3(args, kwargs, _options_v3(args, kwargs))


def _read_callback_v3(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
    """The methods whose second argument is the address to call back."""
    return _source_request_v3(args, kwargs, {**_options_v3(args, kwargs, position=2), "callback": True})


def _source_request_v3(args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]) -> CallRequest:
    source = kwargs["source"] if "source" in kwargs else args[0]
    body = source.get("buffer") if isinstance(source, Mapping) else None
    return _usage.file_request("url" if body is None else "file", body, options)


def _options_v3(args: tuple[Any, ...], kwargs: dict[str, Any], position: int = 1) -> Mapping[str, Any]:
    """`options` of SDK 3 and 4: a dictionary or an object that makes one."""
    options = kwargs.get("options", args[position] if len(args) > position else None)
    if options is not None and not isinstance(options, Mapping):
        options = options.to_dict()
    return {**(options or {}), **(kwargs.get("addons") or {})}


def _read_transcript(call: CallSpan, answer: Any) -> None:
    transcribed = _usage.transcribed(getattr(answer, "data", answer))
    call.set(names.RESPONSE_ID, transcribed.response_id)
    if transcribed.seconds is None:
        call.set(names.USAGE_SOURCE, "unknown")
        return
    call.replace(names.AUDIO_INPUT_SECONDS, transcribed.seconds, source="vendor_body")
    call.replace(names.AUDIO_CHANNELS, transcribed.channels)
    _answered_by(call, transcribed.model)


def _answered_by(call: CallSpan, model: str | None) -> None:
    """The vendor's choice, where the request left it open."""
    if names.REQUEST_MODEL not in (getattr(call.span, "attributes", None) or {}):
        call.set(names.RESPONSE_MODEL, model)


transcribe = around_call(_read_file, _read_transcript)
async_transcribe = around_async_call(_read_file, _read_transcript)
transcribe_v3 = around_call(_read_file_v3, _read_transcript)
async_transcribe_v3 = around_async_call(_read_file_v3, _read_transcript)
callback_v3 = around_call(_read_callback_v3, _read_transcript)
async_callback_v3 = around_async_call(_read_callback_v3, _read_transcript)


# --- Speech over HTTP ----------------------------------------------------------------------------------------


def _read_speech(_instance: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    return _usage.speech_request(kwargs.get("text"), _parameters(kwargs))


def _read_speech_v3(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    source = kwargs["source"] if "source" in kwargs else args[0]
    text = source.get("text") if isinstance(source, Mapping) else None
    return _usage.speech_request(text, _options_v3(args, kwargs))


def _read_headers(call: CallSpan, headers: Mapping[str, str]) -> None:
    call.set(names.RESPONSE_ID, headers.get("dg-request-id"))
    _answered_by(call, headers.get("dg-model-name"))
    _count(call, headers.get("dg-char-count"))


def _count(call: CallSpan, characters: str | int | None) -> None:
    if characters is not None and str(characters).isdecimal():
        call.replace(names.BILLED_QUANTITY, Decimal(characters), source="vendor_header")
        call.set(names.BILLED_UNIT, "character")


def _watch_speech(call: CallSpan, answer: Any) -> None:
    """The answer's body is a generator that the application may leave early: watch it in its place."""
    _read_headers(call, answer.headers)
    call.is_streaming = True
    source = answer._data  # noqa: SLF001 - `data` is a property without a setter
    answer._data = watch_generator(lambda: (call, source))  # noqa: SLF001


def _watch_async_speech(call: CallSpan, answer: Any) -> None:
    _read_headers(call, answer.headers)
    call.is_streaming = True
    source = answer._data  # noqa: SLF001 - as above
    answer._data = watch_async_generator(lambda: (call, source))  # noqa: SLF001


def _read_speech_answer_v3(call: CallSpan, answer: Any) -> None:
    if hasattr(answer, "characters"):
        call.set(names.RESPONSE_ID, answer.request_id)
        _answered_by(call, answer.model_name)
        _count(call, answer.characters)
    else:
        _read_headers(call, answer.headers)


speak = around_context(_read_speech, _watch_speech)
async_speak = around_async_context(_read_speech, _watch_async_speech)
speak_v3 = around_call(_read_speech_v3, _read_speech_answer_v3)
async_speak_v3 = around_async_call(_read_speech_v3, _read_speech_answer_v3)


# --- Sockets -------------------------------------------------------------------------------------------------


def connect(kind: str) -> MakeWrapper:
    """`with client.listen.v1.connect(...) as socket` of SDK 5 to 7."""
    return lambda tracer: _connecting(tracer, kind, around_socket)


def async_connect(kind: str) -> MakeWrapper:
    """The same for asyncio."""
    return lambda tracer: _connecting(tracer, kind, around_async_socket)


def _connecting(tracer: Tracer, kind: str, around: Any) -> Wrapper:
    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        parameters = _parameters(kwargs)
        read_request: ReadRequest = lambda _instance, _args, _kwargs: _usage.socket_request(kind, parameters)  # noqa: E731
        make = around(read_request, _sockets.listener_for(kind, parameters))
        return make(tracer)(wrapped, instance, args, kwargs)

    return wrapper


@quietly
def _read_url(url: Any) -> tuple[str, dict[str, Any], CallRequest] | None:
    if is_inside_call(_usage.PROVIDER):
        return None
    kind, parameters = _usage.socket_kind(str(url)), _usage.socket_parameters(str(url))
    return kind, parameters, _usage.socket_request(kind, parameters)


def connect_function(tracer: Tracer) -> Wrapper:
    """`connect` as SDK 3 and 4 import it from websockets."""

    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        read = _read_url(args[0] if args else "")
        started_at_unix_ns = time.time_ns()
        with opening(None if read is None else read[2]):
            try:
                connection = wrapped(*args, **kwargs)
            except BaseException as error:
                if read is not None:
                    record_refusal(tracer, read[2], error, started_at_unix_ns)
                raise
            return connection if read is None else _watched(tracer, connection, read, WatchedSocket)

    return wrapper


def async_connect_function(tracer: Tracer) -> Wrapper:
    """The same where it is awaited."""

    async def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        read = _read_url(args[0] if args else "")
        started_at_unix_ns = time.time_ns()
        with opening(None if read is None else read[2]):
            try:
                connection = await wrapped(*args, **kwargs)
            except BaseException as error:
                if read is not None:
                    record_refusal(tracer, read[2], error, started_at_unix_ns)
                raise
            return connection if read is None else _watched(tracer, connection, read, WatchedAsyncSocket)

    return wrapper


def _watched(tracer: Tracer, connection: Any, read: tuple[str, dict[str, Any], CallRequest], proxy: Any) -> Any:
    kind, parameters, request = read
    listener = _listen(kind, parameters, tracer, request)
    return connection if listener is None else proxy(connection, listener)


@quietly
def _listen(kind: str, parameters: dict[str, Any], tracer: Tracer, request: CallRequest) -> Any:
    return _sockets.listener_for(kind, parameters)(tracer, request)
