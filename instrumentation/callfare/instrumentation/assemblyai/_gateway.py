"""AssemblyAI's LLM gateway: chat completions by tokens, whole or streamed.

`create(stream=True)` returns a lazy generator: nothing is sent before the first `next`. Only the last piece of a
stream has the usage, if the model's own vendor sends it.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.span import CallRequest, CallSpan
from callfare.calls.stream import watch_async_generator, watch_generator
from callfare.calls.wrapping import Wrapper, around_async_call, around_call, begin
from callfare.instrumentation.assemblyai import _usage

__all__ = ["async_create", "create"]


def _read(_instance: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
    return _usage.chat_request(kwargs.get("model"), is_stream=bool(kwargs.get("stream")))


def _read_completion(call: CallSpan, answer: Any) -> None:
    call.set(names.RESPONSE_ID, answer.request_id)
    _count(call, answer.usage)


def _read_chunk(call: CallSpan, chunk: Any) -> None:
    if chunk.usage is not None:
        call.set(names.RESPONSE_ID, chunk.id)
        call.set(names.RESPONSE_MODEL, chunk.model)
        _count(call, chunk.usage)


def _count(call: CallSpan, usage: Any) -> None:
    for name, tokens in _usage.tokens_of(usage).items():
        call.replace(name, tokens, source="vendor_body")


def create(tracer: Tracer) -> Wrapper:
    """`CompletionsResource.create`."""
    whole = around_call(_read, _read_completion)(tracer)

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not kwargs.get("stream"):
            return whole(wrapped, instance, args, kwargs)
        pieces: Iterator[Any] = wrapped(*args, **kwargs)  # sends nothing yet, but checks what it was given

        def start() -> tuple[CallSpan | None, Iterator[Any]]:
            return begin(tracer, _read, instance, args, kwargs), pieces

        return watch_generator(start, _read_chunk)

    return wrapper


def async_create(tracer: Tracer) -> Wrapper:
    """The same, awaited."""
    whole = around_async_call(_read, _read_completion)(tracer)

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not kwargs.get("stream"):
            return await whole(wrapped, instance, args, kwargs)
        pieces: AsyncIterator[Any] = await wrapped(*args, **kwargs)

        def start() -> tuple[CallSpan | None, AsyncIterator[Any]]:
            return begin(tracer, _read, instance, args, kwargs), pieces

        return watch_async_generator(start, _read_chunk)

    return wrapper
