"""Ask for the token usage of streamed chat completions (opt-in: CALLFARE_INCLUDE_USAGE).

Without `stream_options={"include_usage": true}` a streamed answer states no usage and cannot be priced. The
switch adds the option where the application left it open. The vendor then sends one more chunk, with usage and
without choices, which every instrumentation below reads; it is taken out again before the application, which
did not ask for it and may index `choices[0]`. This wrapper must therefore be the outermost.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from opentelemetry.trace import Tracer

from callfare.instrumentation.openai_audio.package import _instruments  # pyright: ignore[reportPrivateUsage]
from callfare.instrumentor import CallfareInstrumentor, Wrap
from callfare.wrapping import Wrapper

if TYPE_CHECKING:

    class _ObjectProxy:
        __wrapped__: Any

        def __init__(self, wrapped: object) -> None: ...

else:
    from wrapt import ObjectProxy as _ObjectProxy

__all__ = ["StreamUsageInstrumentor"]

_RAW_HEADER = "x-stainless-raw-response"


def with_usage(kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments with usage asked for; None where that is not ours to add."""
    if kwargs.get("stream") is not True:
        return None
    headers = kwargs.get("extra_headers") or {}
    if any(name.lower() == _RAW_HEADER for name in headers):
        return None  # the application reads the wire itself: the extra chunk could not be taken out
    options = kwargs.get("stream_options")
    if isinstance(options, Mapping) and "include_usage" in options:
        return None
    known = dict(options) if isinstance(options, Mapping) else {}
    return {**kwargs, "stream_options": {**known, "include_usage": True}}


def _is_only_usage(chunk: Any) -> bool:
    return getattr(chunk, "usage", None) is not None and not getattr(chunk, "choices", True)


class _WithoutUsageChunk(_ObjectProxy):
    """A stream of chunks as the application would have had it."""

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        chunk = next(self.__wrapped__)
        return next(self.__wrapped__) if _is_only_usage(chunk) else chunk

    def __enter__(self) -> Any:
        self.__wrapped__.__enter__()
        return self


class _WithoutUsageChunkAsync(_ObjectProxy):
    """The same for `async for`."""

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        chunk = await anext(self.__wrapped__)
        return await anext(self.__wrapped__) if _is_only_usage(chunk) else chunk

    async def __aenter__(self) -> Any:
        await self.__wrapped__.__aenter__()
        return self


def _create(_tracer: Tracer) -> Wrapper:
    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        asking = with_usage(kwargs)
        if asking is None:
            return wrapped(*args, **kwargs)
        return _WithoutUsageChunk(wrapped(*args, **asking))

    return wrapper


def _create_async(_tracer: Tracer) -> Wrapper:
    async def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        asking = with_usage(kwargs)
        if asking is None:
            return await wrapped(*args, **kwargs)
        return _WithoutUsageChunkAsync(await wrapped(*args, **asking))

    return wrapper


class StreamUsageInstrumentor(CallfareInstrumentor):
    """Installed by the post-instrument hook, so that it lies outside every other wrapper."""

    name: ClassVar[str] = "openai_stream_usage"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("openai.resources.chat.completions.completions", "Completions.create", _create),
        Wrap("openai.resources.chat.completions.completions", "AsyncCompletions.create", _create_async),
    )
