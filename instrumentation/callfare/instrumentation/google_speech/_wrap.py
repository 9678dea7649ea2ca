"""Wrappers of Google's recognition calls."""

from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.span import CallRequest, CallSpan, is_inside_call, open_call
from callfare.calls.wrapping import Wrapper, around_async_call, around_call
from callfare.guard import quietly
from callfare.instrumentation.google_speech import _usage
from callfare.instrumentation.google_speech._stream import AsyncAnswers, Recognition, SyncAnswers

__all__ = ["async_long_running", "async_recognize", "async_stream", "long_running", "recognize", "stream"]


def _read(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
    return _usage.file_request(kwargs.get("request", args[0] if args else None), kwargs)


def _read_answer(call: CallSpan, answer: Any) -> None:
    call.set(names.RESPONSE_ID, _request_id(answer))
    seconds = _usage.billed_seconds(answer)
    if seconds is None:
        call.set(names.USAGE_SOURCE, "unknown")  # unless the audio has its length
        return
    call.replace(names.AUDIO_INPUT_SECONDS, seconds, source="vendor_body")
    call.replace(names.AUDIO_CHANNELS, 1)


def _request_id(answer: Any) -> str:
    stated = _usage.field(answer, "request_id") or _usage.field(_usage.field(answer, "metadata"), "request_id")
    return str(stated or "")


recognize = around_call(_read, _read_answer)
async_recognize = around_async_call(_read, _read_answer)


# --- Long-running forms --------------------------------------------------------------------------------------


def long_running(tracer: Tracer) -> Wrapper:
    """The operation's `result()` is where the bill is known; who never asks for it never learns."""

    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operation = wrapped(*args, **kwargs)
        request = _request(args, kwargs)
        if request is not None:
            _watch(tracer, operation, request)
        return operation

    return wrapper


def async_long_running(tracer: Tracer) -> Wrapper:
    """The same for asyncio."""

    async def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operation = await wrapped(*args, **kwargs)
        request = _request(args, kwargs)
        if request is not None:
            _watch_async(tracer, operation, request)
        return operation

    return wrapper


@quietly
def _request(args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    if is_inside_call(_usage.PROVIDER):
        return None
    return _usage.file_request(kwargs.get("request", args[0] if args else None), kwargs, is_batch=True)


@quietly
def _watch(tracer: Tracer, operation: Any, request: CallRequest) -> None:
    call, result = open_call(tracer, request), operation.result

    def watched(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = result(*args, **kwargs)
        except Exception as error:
            _give_up(call, error)
            raise
        _finish(call, answer)
        return answer

    operation.result = watched


@quietly
def _watch_async(tracer: Tracer, operation: Any, request: CallRequest) -> None:
    call, result = open_call(tracer, request), operation.result

    async def watched(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = await result(*args, **kwargs)
        except Exception as error:
            _give_up(call, error)
            raise
        _finish(call, answer)
        return answer

    operation.result = watched


@quietly
def _finish(call: CallSpan, answer: Any) -> None:
    _read_answer(call, answer)
    call.end()


@quietly
def _give_up(call: CallSpan, error: Exception) -> None:
    """Only where the operation itself failed: a time-out, or an error of asking for it, says nothing about it."""
    if type(getattr(error, "response", None)).__name__ == "Operation":
        call.fail(error)


# --- Streams -------------------------------------------------------------------------------------------------


def stream(tracer: Tracer) -> Wrapper:
    """`streaming_recognize(requests)` of the generated client: the v1 helper with a `config` calls it too."""

    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_inside_call(_usage.PROVIDER):
            return wrapped(*args, **kwargs)
        recognition = Recognition(tracer)
        args, kwargs = _with_requests(args, kwargs, recognition.requests)
        try:
            answers = wrapped(*args, **kwargs)
        except BaseException as error:
            recognition.raise_refusal()
            recognition.refused(error)
            raise
        return SyncAnswers(answers, recognition, recognition.on_answer)  # pyright: ignore[reportArgumentType] - ends alike

    return wrapper


def async_stream(tracer: Tracer) -> Wrapper:
    """The same, awaited."""

    async def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_inside_call(_usage.PROVIDER):
            return await wrapped(*args, **kwargs)
        recognition = Recognition(tracer)
        args, kwargs = _with_requests(args, kwargs, recognition.async_requests)
        try:
            answers = await recognition.answers(wrapped(*args, **kwargs))
        except BaseException as error:
            recognition.raise_refusal()
            recognition.refused(error)
            raise
        return AsyncAnswers(answers, recognition, recognition.on_answer)  # pyright: ignore[reportArgumentType] - as above

    return wrapper


def _with_requests(
    args: tuple[Any, ...], kwargs: dict[str, Any], counted: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if kwargs.get("requests") is not None:
        return args, {**kwargs, "requests": counted(kwargs["requests"])}
    if args and args[0] is not None:
        return (counted(args[0]), *args[1:]), kwargs
    return args, kwargs
