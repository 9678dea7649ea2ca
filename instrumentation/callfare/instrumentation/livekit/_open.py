"""What is under way in LiveKit when somebody interrupts it, or the process ends.

LiveKit writes the usage of an answer and of an utterance once it is complete. Of one that is interrupted, the span is
there without it, and of one that a signal ends, not even the span. So the length of what was asked, and of what came
back, goes on the span as a number, and spans still open at the end of the process are ended.

LiveKit tries again by itself, and reports the usage of the attempt that went well. What a vendor charges for one that
broke off is not known, unless it refused the request: such a span is marked as estimated.
"""

import weakref
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.failure import is_refusal
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly

__all__ = ["chunk", "close", "emit_error", "end_all", "llm_init", "tts_init"]

_CAME = "_callfare_came"
_ANSWER = "_llm_request_span"
_SPANS = (_ANSWER, "_tts_request_span")
_FREE_ERRORS = frozenset({"cartesia"})
"""Speech of which an error costs nothing: docs.cartesia.ai/pricing."""
_streams: "weakref.WeakSet[Any]" = weakref.WeakSet()


def _init(_tracer: Tracer) -> Wrapper:
    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        _streams.add(instance)

    return wrapper


llm_init = _init
"""Wrapper of `LLMStream.__init__`."""
tts_init = _init
"""Wrapper of `SynthesizeStream.__init__` and `ChunkedStream.__init__`."""


def close(_tracer: Tracer) -> Wrapper:
    """Wrapper of their `aclose`, which ends the span."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _state(instance)
        return await wrapped(*args, **kwargs)

    return wrapper


def chunk(_tracer: Tracer) -> Wrapper:
    """Wrapper of `LLMStream.__anext__`: counts what came."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = await wrapped(*args, **kwargs)
        _count(instance, found)
        return found

    return wrapper


def emit_error(_tracer: Tracer) -> Wrapper:
    """Wrapper of `_emit_error(error, recoverable)` of every stream: an attempt has failed."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _doubt(instance, args[0] if args else kwargs.get("api_error"))
        return wrapped(*args, **kwargs)

    return wrapper


@quietly
def _doubt(stream: Any, error: Any) -> None:
    speaker = getattr(stream, "_tts", None)
    if is_refusal(error):
        return
    if speaker is not None and str(speaker.provider).lower() in _FREE_ERRORS:
        return
    for name in _SPANS:
        span = getattr(stream, name, None)
        if span is not None:
            span.set_attribute(names.USAGE_SOURCE, "estimated")


@quietly
def _count(stream: Any, found: Any) -> None:
    text = getattr(getattr(found, "delta", None), "content", None)
    if isinstance(text, str):
        vars(stream)[_CAME] = vars(stream).get(_CAME, 0) + len(text)


def end_all() -> None:
    """The process is about to exit: nobody else will end these."""
    for stream in list(_streams):
        _state(stream)
        for name in _SPANS:
            span = getattr(stream, name, None)
            if span is not None:
                span.end()


@quietly
def _state(stream: Any) -> None:
    asked, came = _asked_length(stream), vars(stream).get(_CAME, 0)
    for name in _SPANS:
        span = getattr(stream, name, None)
        if span is not None and asked:
            span.set_attribute(names.REQUEST_CHARACTERS, asked)
            if name == _ANSWER:
                span.set_attribute(names.RESPONSE_CHARACTERS, came)


def _asked_length(stream: Any) -> int:
    for name in ("_pushed_text", "_input_text"):
        text = getattr(stream, name, None)
        if isinstance(text, str):
            return len(text)
    context = getattr(stream, "_chat_ctx", None)
    return sum(_length(item) for item in getattr(context, "items", ()))


def _length(item: Any) -> int:
    """Of a message, a tool's call or its result."""
    content = getattr(item, "content", None)
    texts = content if isinstance(content, list) else [getattr(item, "arguments", ""), getattr(item, "output", "")]
    return sum(len(text) for text in texts if isinstance(text, str))
