"""Ask for the token usage of streamed chat completions: of hosts that are known to take it, or as the operator wants.

Without `stream_options={"include_usage": true}` a streamed answer states no usage and cannot be priced. So the option
is added where the application left it open. The vendor then sends one more chunk, with usage and without choices, and
a null usage in all others. Every instrumentation below reads them; before the application, which did not ask for
usage and may index `choices[0]`, they are as they would have been without. This wrapper must therefore be the
outermost: instrumenting again puts it outside whatever was wrapped since.

Hosts that speak this API but not this option refuse the request, which the application did not ask for either:
it is sent again as it was, and that host's model is not asked any more. CALLFARE_INCLUDE_USAGE=1 asks every host, 0
none.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from opentelemetry.trace import Tracer

from callfare import environment
from callfare.calls.wrapping import Wrapper
from callfare.instrumentation.openai_audio._usage_hosts import takes_include_usage
from callfare.instrumentation.openai_audio.package import _instruments  # pyright: ignore[reportPrivateUsage]
from callfare.instrumentor import CallfareInstrumentor, Wrap

if TYPE_CHECKING:

    class _ObjectProxy:
        __wrapped__: Any

        def __init__(self, wrapped: object) -> None: ...

else:
    from wrapt import ObjectProxy as _ObjectProxy

__all__ = ["StreamUsageInstrumentor"]

_RAW_HEADER = "x-stainless-raw-response"
_REFUSALS = frozenset({400, 422})
"""How hosts answer to an option they do not know."""
_HOSTS_MAX = 1_000


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


def _as_not_asked(chunk: Any) -> Any:
    """The chunk without the null in the place of a usage: `to_dict()` writes what was set."""
    stated = getattr(chunk, "model_fields_set", None)
    if isinstance(stated, set) and "usage" in stated and chunk.usage is None:
        stated.discard("usage")
    return chunk


class _WithoutUsageChunk(_ObjectProxy):
    """A stream of chunks as the application would have had it."""

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        while _is_only_usage(chunk := next(self.__wrapped__)):
            pass
        return _as_not_asked(chunk)

    def __enter__(self) -> Any:
        self.__wrapped__.__enter__()
        return self


class _WithoutUsageChunkAsync(_ObjectProxy):
    """The same for `async for`."""

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        while _is_only_usage(chunk := await anext(self.__wrapped__)):
            pass
        return _as_not_asked(chunk)

    async def __aenter__(self) -> Any:
        await self.__wrapped__.__aenter__()
        return self


class _Hosts:
    """Which models of which hosts take the option. Bounded, as both come from the application."""

    def __init__(self) -> None:
        self._takes_it: dict[tuple[str, str], bool] = {}

    def refuses(self, key: tuple[str, str]) -> bool:
        return self._takes_it.get(key) is False

    def learn(self, key: tuple[str, str], *, takes_it: bool) -> None:
        if len(self._takes_it) < _HOSTS_MAX:
            self._takes_it[key] = takes_it

    def may_have_refused(self, key: tuple[str, str], error: Exception) -> bool:
        """Whether the option may be the cause: the error names it, or the host has never accepted it yet."""
        if getattr(error, "status_code", None) not in _REFUSALS:
            return False
        return key not in self._takes_it or "stream_options" in str(error)


def _host(instance: Any, kwargs: Mapping[str, Any]) -> tuple[str, str]:
    return str(getattr(getattr(instance, "_client", None), "base_url", "")), str(kwargs.get("model", ""))


def _asking(instance: Any, kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments with usage asked for; None where this host is not to be asked."""
    asks = environment.includes_stream_usage()
    if asks is None:
        asks = takes_include_usage(str(getattr(getattr(instance, "_client", None), "base_url", "")))
    return with_usage(kwargs) if asks else None


def _create(_tracer: Tracer) -> Wrapper:
    hosts = _Hosts()

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key, asking = _host(instance, kwargs), _asking(instance, kwargs)
        if asking is None or hosts.refuses(key):
            return wrapped(*args, **kwargs)
        try:
            stream = wrapped(*args, **asking)
        except Exception as error:
            if not hosts.may_have_refused(key, error):
                raise
        else:
            hosts.learn(key, takes_it=True)
            return _WithoutUsageChunk(stream)
        stream = wrapped(*args, **kwargs)  # raises what the application would have seen, where the fault is its own
        hosts.learn(key, takes_it=False)
        return stream

    return wrapper


def _create_async(_tracer: Tracer) -> Wrapper:
    hosts = _Hosts()

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key, asking = _host(instance, kwargs), _asking(instance, kwargs)
        if asking is None or hosts.refuses(key):
            return await wrapped(*args, **kwargs)
        try:
            stream = await wrapped(*args, **asking)
        except Exception as error:
            if not hosts.may_have_refused(key, error):
                raise
        else:
            hosts.learn(key, takes_it=True)
            return _WithoutUsageChunkAsync(stream)
        stream = await wrapped(*args, **kwargs)
        hosts.learn(key, takes_it=False)
        return stream

    return wrapper


class StreamUsageInstrumentor(CallfareInstrumentor):
    """Installed with the audio instrumentor, and again by the post-instrument hook: the last is the outermost."""

    name: ClassVar[str] = "openai_stream_usage"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("openai.resources.chat.completions.completions", "Completions.create", _create),
        Wrap("openai.resources.chat.completions.completions", "AsyncCompletions.create", _create_async),
    )

    def instrument(self, **kwargs: Any) -> Any:
        """Lie outside every wrapper that is there by now."""
        if self.is_instrumented_by_opentelemetry:
            self.uninstrument()
        return super().instrument(**kwargs)
