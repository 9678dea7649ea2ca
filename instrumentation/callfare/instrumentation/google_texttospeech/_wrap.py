"""Wrappers of Google's synthesis calls."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.span import CallRequest, CallSpan, is_inside_call, open_call
from callfare.calls.stream import AsyncStream, SyncStream, finish
from callfare.calls.wrapping import Wrapper, around_async_call, around_call
from callfare.guard import quietly
from callfare.instrumentation.google_texttospeech import _usage

__all__ = ["async_stream", "async_synthesize", "stream", "synthesize"]


def _read(_instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
    request = kwargs.get("request", args[0] if args else None)
    spoken = _usage.field(request, "input") or kwargs.get("input")
    holder = request if _usage.model_of(request) else kwargs
    voice, model = _usage.voice_of(holder), _usage.model_of(holder)
    return _usage.synthesis_request(voice, _usage.characters_of(spoken), is_stream=False, model=model)


synthesize = around_call(_read)
async_synthesize = around_async_call(_read)


class _Texts:
    """Counts the text of a stream's requests as gRPC takes them; the first one names the voice."""

    def __init__(self, call: CallSpan) -> None:
        self._call = call

    def requests(self, source: Iterable[Any]) -> Iterator[Any]:
        for request in source:
            self._sent(request)
            yield request

    async def async_requests(self, source: AsyncIterable[Any]) -> AsyncIterator[Any]:
        async for request in source:
            self._sent(request)
            yield request

    @quietly
    def _sent(self, request: Any) -> None:
        config = _usage.field(request, "streaming_config")
        self._call.set(names.REQUEST_MODEL, _usage.model_of(config))
        self._call.set(names.SPEECH_VOICE, _usage.voice_of(config))
        self._call.add(names.INPUT_CHARACTERS, _usage.characters_of(_usage.field(request, "input")))


def stream(tracer: Tracer) -> Wrapper:
    """`streaming_synthesize(requests)`."""

    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_inside_call(_usage.PROVIDER):
            return wrapped(*args, **kwargs)
        call = open_call(tracer, _usage.synthesis_request("", 0, is_stream=True))
        args, kwargs = _with_requests(args, kwargs, _Texts(call).requests)
        try:
            answers = wrapped(*args, **kwargs)
        except BaseException as error:
            finish(call, error)
            raise
        return SyncStream(answers, call)

    return wrapper


def async_stream(tracer: Tracer) -> Wrapper:
    """The same, awaited."""

    async def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_inside_call(_usage.PROVIDER):
            return await wrapped(*args, **kwargs)
        call = open_call(tracer, _usage.synthesis_request("", 0, is_stream=True))
        args, kwargs = _with_requests(args, kwargs, _Texts(call).async_requests)
        try:
            answers = await wrapped(*args, **kwargs)
        except BaseException as error:
            finish(call, error)
            raise
        return AsyncStream(answers, call)

    return wrapper


def _with_requests(
    args: tuple[Any, ...], kwargs: dict[str, Any], counted: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if kwargs.get("requests") is not None:
        return args, {**kwargs, "requests": counted(kwargs["requests"])}
    if args and args[0] is not None:
        return (counted(args[0]), *args[1:]), kwargs
    return args, kwargs
