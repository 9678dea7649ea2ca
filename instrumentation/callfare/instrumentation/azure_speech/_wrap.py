"""Wrappers of Azure's speech calls: of result objects, because the native library does its own networking."""

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.running import opening
from callfare.calls.session import Session
from callfare.calls.span import CallRequest, CallSpan, is_inside_call
from callfare.calls.stream import finish
from callfare.calls.wrapping import Wrapper, begin
from callfare.guard import quietly
from callfare.instrumentation.azure_speech import _usage
from callfare.instrumentation.azure_speech._recognition import Listening, Tally

if TYPE_CHECKING:

    class _ObjectProxy:
        __wrapped__: Any

        def __init__(self, wrapped: object) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    from wrapt import ObjectProxy as _ObjectProxy

__all__ = [
    "format_made",
    "recognise_once",
    "recogniser_made",
    "speak_ssml",
    "speak_text",
    "start",
    "stop",
    "stream_made",
    "write",
]

_RATE, _TALLY, _LISTENING = "_callfare_rate", "_callfare_tally", "_callfare_listening"


class SpeechCanceled(Exception):
    """A cancelled result, as an exception that says only the status."""

    def __init__(self, code: str) -> None:
        """`code` is a name of the SDK's `CancellationErrorCode`."""
        super().__init__("canceled by the service")
        self.status_code = _STATUS.get(code)


class SpeechUnreachable(SpeechCanceled, ConnectionRefusedError):
    """No connection came about."""


_STATUS = {
    "AuthenticationFailure": 401,
    "BadRequest": 400,
    "TooManyRequests": 429,
    "Forbidden": 403,
    "ServiceUnavailable": 503,
}


# --- Synthesis -----------------------------------------------------------------------------------------------


def speak_text(tracer: Tracer) -> Wrapper:
    """`speak_text_async(text)` and `start_speaking_text_async(text)`, under the blocking forms as well."""

    def read_request(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
        text = kwargs.get("text", args[0] if args else "")
        return _usage.text_request(text, _property(instance, "SpeechServiceConnection_SynthVoice"))

    return _future(tracer, read_request, _read_speech)


def speak_ssml(tracer: Tracer) -> Wrapper:
    """The same for SSML."""

    def read_request(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
        return _usage.ssml_request(kwargs.get("ssml", args[0] if args else ""))

    return _future(tracer, read_request, _read_speech)


@quietly
def _stated(instance: Any, name: str) -> str:
    ids = sys.modules["azure.cognitiveservices.speech"].PropertyId
    return instance.properties.get_property(getattr(ids, name)) or ""


def _property(instance: Any, name: str) -> str:
    return _stated(instance, name) or ""


def _read_speech(call: CallSpan, result: Any) -> None:
    call.set(names.RESPONSE_ID, getattr(result, "result_id", None))
    duration = getattr(result, "audio_duration", None)
    if duration is not None and duration.total_seconds():
        call.has_output = True
        call.replace(names.AUDIO_OUTPUT_SECONDS, Decimal(str(duration.total_seconds())))


# --- Futures -------------------------------------------------------------------------------------------------


def _future(tracer: Tracer, read_request: Any, read_result: Any) -> Wrapper:
    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = begin(tracer, read_request, instance, args, kwargs)
        try:
            future = wrapped(*args, **kwargs)
        except BaseException as error:
            if call is not None:
                finish(call, error)
            raise
        return future if call is None else _WatchedFuture(future, call, read_result)

    return wrapper


class _WatchedFuture(_ObjectProxy):
    """A `ResultFuture`: the call ends with `get()`, or with the future where nobody asks it."""

    def __init__(self, future: Any, call: CallSpan, read_result: Any) -> None:
        super().__init__(future)
        self._self_call = call
        self._self_read = read_result

    def get(self) -> Any:
        result = self.__wrapped__.get()
        _end(self._self_call, result, self._self_read)
        return result

    def __del__(self) -> None:
        self._self_call.end()


@quietly
def _end(call: CallSpan, result: Any, read_result: Any) -> None:
    if call.is_finished:
        return
    read_result(call, result)
    error = _cancellation(result)
    if error is None:
        call.end()
    else:
        call.fail(error)


def _cancellation(result: Any) -> SpeechCanceled | None:
    details = getattr(result, "cancellation_details", None)
    code = getattr(getattr(details, "error_code", None), "name", "")
    if details is None or code in ("", "NoError"):
        return None
    return SpeechUnreachable(code) if code == "ConnectionFailure" else SpeechCanceled(code)


# --- Recognition ---------------------------------------------------------------------------------------------


def format_made(_tracer: Tracer) -> Wrapper:
    """`AudioStreamFormat(...)`: what a second of it weighs."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = wrapped(*args, **kwargs)
        _remember(instance, _RATE, lambda: _usage.stream_rate(*args, **kwargs))
        return result

    return wrapper


def stream_made(_tracer: Tracer) -> Wrapper:
    """`PushAudioInputStream(stream_format)`."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = wrapped(*args, **kwargs)
        shape = kwargs.get("stream_format", args[0] if args else None)
        default = _usage.stream_rate() if shape is None else None
        _remember(instance, _TALLY, lambda: Tally(getattr(shape, _RATE, default)))
        return result

    return wrapper


def write(_tracer: Tracer) -> Wrapper:
    """`PushAudioInputStream.write(buffer)`."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = wrapped(*args, **kwargs)
        tally: Tally | None = getattr(instance, _TALLY, None)
        if tally is not None:
            tally.wrote(len(kwargs.get("buffer", args[0] if args else b"")))
        return result

    return wrapper


def recogniser_made(_tracer: Tracer) -> Wrapper:
    """`SpeechRecognizer(speech_config, audio_config, ...)`: where its audio comes from."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = wrapped(*args, **kwargs)
        config = kwargs.get("audio_config", args[1] if len(args) > 1 else None)
        _remember(instance, _TALLY, lambda: getattr(getattr(config, "_stream", None), _TALLY, None))
        return result

    return wrapper


@quietly
def _remember(instance: Any, name: str, value: Any) -> None:
    setattr(instance, name, value())


def recognise_once(tracer: Tracer) -> Wrapper:
    """`recognize_once_async()`: the service stops listening at the end of the utterance."""

    def read_request(instance: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> CallRequest:
        return _usage.recognition_request(_property(instance, "SpeechServiceConnection_RecoLanguage"), is_stream=False)

    def read_result(call: CallSpan, result: Any) -> None:
        seconds = _usage.seconds_until_end(result)
        if seconds:
            call.has_output = True
            call.replace(names.AUDIO_INPUT_SECONDS, seconds, source="vendor_body")
        else:
            call.set(names.USAGE_SOURCE, "unknown")

    return _future(tracer, read_request, read_result)


def start(tracer: Tracer) -> Wrapper:
    """`start_continuous_recognition_async()`."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_inside_call(_usage.PROVIDER):
            return wrapped(*args, **kwargs)
        request = _usage.recognition_request(
            _property(instance, "SpeechServiceConnection_RecoLanguage"), is_stream=True
        )
        with opening(request):
            result = wrapped(*args, **kwargs)
            _listen(tracer, instance, request)
        return result

    return wrapper


@quietly
def _listen(tracer: Tracer, instance: Any, request: CallRequest) -> None:
    session = Session.open(tracer, request)
    listening = Listening(session, getattr(instance, _TALLY, None))
    setattr(instance, _LISTENING, listening)
    if listening.needs_results:
        instance.recognized.connect(listening.on_recognised)


def stop(_tracer: Tracer) -> Wrapper:
    """`stop_continuous_recognition_async()`."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = wrapped(*args, **kwargs)
        listening: Listening | None = getattr(instance, _LISTENING, None)
        if listening is not None:
            listening.stop()
        return result

    return wrapper
