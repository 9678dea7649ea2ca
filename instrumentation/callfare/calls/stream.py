"""Streams of a paid call: what the application iterates, with the call finished exactly once.

Two kinds, because vendors hand out two kinds:
- generators (`watch_generator`, `watch_async_generator`): the result is a real generator again, and the request
  goes out at the first `next`, so the span begins there. A generator never started costs nothing.
- objects that are iterated, used as context managers and closed (`SyncStream`, `AsyncStream`): a transparent
  proxy, so that `isinstance` and every other attribute stay as they were.

Whatever ends the stream ends the call: exhaustion -> `end`, an exception of the vendor -> `fail`, and the
application's own leaving (close, aclose, break, GeneratorExit, cancellation, garbage collection) -> `interrupt`.
A reader that sees the vendor's last event may call `call.end()` itself; later ends then do nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context as context_api

from callfare.calls.span import CallSpan
from callfare.guard import note_internal_error

if TYPE_CHECKING:

    class _ObjectProxy:
        __wrapped__: Any

        def __init__(self, wrapped: object) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    from wrapt import ObjectProxy as _ObjectProxy

__all__ = [
    "AsyncStream",
    "Finishable",
    "OnChunk",
    "OnEnd",
    "SyncStream",
    "ended_by_application",
    "finish",
    "watch_async_generator",
    "watch_generator",
]

OnChunk = Callable[[CallSpan, Any], None]
"""Reads one chunk for its usage. May raise: it is then left out for the rest of the stream."""
OnEnd = Callable[[CallSpan], None]
"""Sums up just before the call is finished, however it ended."""


class Finishable(Protocol):
    """A call that a stream finishes; only the first of its ends counts."""

    has_output: bool

    @property
    def is_finished(self) -> bool:
        """Whether the call has ended."""
        ...

    def end(self) -> None:
        """The answer is complete."""
        ...

    def interrupt(self) -> None:
        """The application stopped listening."""
        ...

    def fail(self, error: BaseException) -> None:
        """The vendor or the network failed."""
        ...


def ended_by_application(error: BaseException) -> bool:
    """Whether the application stopped the call itself, as in a barge-in."""
    return isinstance(error, (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt, SystemExit))


def finish(call: Finishable, error: BaseException | None = None) -> None:
    """Finish a call by what ended it: nothing, the application, or an error."""
    if error is None:
        call.end()
    elif ended_by_application(error):
        call.interrupt()
    else:
        call.fail(error)


class _Watched:
    """A call and what reads its stream; a reader that fails once is not asked again."""

    __slots__ = ("_call", "_last", "_read")

    def __init__(
        self, call: Finishable, read: Callable[[Any, Any], None] | None, last: Callable[[Any], None] | None
    ) -> None:
        self._call = call
        self._read = read
        self._last = last

    def see(self, chunk: object) -> None:
        """One chunk is on its way to the application."""
        self._call.has_output = True
        if self._read is None:
            return
        try:
            self._read(self._call, chunk)
        except Exception as error:  # noqa: BLE001 - the stream must go on
            self._read = None
            note_internal_error("reading a chunk", error)

    def stop(self, error: BaseException | None = None) -> None:
        """The stream is over: let the reader sum up, then finish the call."""
        if not self._call.is_finished:
            self._sum_up()
            finish(self._call, error)

    def leave(self) -> None:
        """The application is done with the stream, read to its end or not."""
        self.stop(GeneratorExit())

    def _sum_up(self) -> None:
        last, self._last = self._last, None
        if last is None:
            return
        try:
            last(self._call)
        except Exception as error:  # noqa: BLE001 - the stream must go on
            note_internal_error("reading the end of a stream", error)


def watch_generator(
    start: Callable[[], tuple[CallSpan | None, Iterator[Any]]],
    read: OnChunk | None = None,
    last: OnEnd | None = None,
) -> Generator[Any, None, None]:
    """Drive a vendor's generator. `start` opens the call and makes the generator, at the first `next`.

    A call of None means: not ours to count, only pass the chunks on.
    """
    call, source = start()
    if call is None:
        yield from source
        return
    watched = _Watched(call, read, last)
    try:
        token = context_api.attach(call.context())
        try:
            first = next(source, _NOTHING)
        finally:
            context_api.detach(token)
        if first is not _NOTHING:
            watched.see(first)
            yield first
            for chunk in source:
                watched.see(chunk)
                yield chunk
    except BaseException as error:
        watched.stop(error)
        _close(source)  # last: a vendor's generator may ignore GeneratorExit, and then closing raises (Cartesia 2)
        raise
    watched.stop()


async def watch_async_generator(
    start: Callable[[], tuple[CallSpan | None, AsyncIterator[Any]]],
    read: OnChunk | None = None,
    last: OnEnd | None = None,
) -> AsyncGenerator[Any, None]:
    """The same for an asynchronous generator."""
    call, source = start()
    if call is None:
        try:
            async for chunk in source:
                yield chunk
        finally:
            await _aclose(source)
        return
    watched = _Watched(call, read, last)
    try:
        token = context_api.attach(call.context())
        try:
            first = await anext(source, _NOTHING)
        finally:
            context_api.detach(token)
        if first is not _NOTHING:
            watched.see(first)
            yield first
            async for chunk in source:
                watched.see(chunk)
                yield chunk
    except BaseException as error:
        watched.stop(error)
        await _aclose(source)
        raise
    watched.stop()


_NOTHING = object()


def _close(source: Iterator[Any]) -> None:
    close = getattr(source, "close", None)
    if close is not None:
        close()


async def _aclose(source: AsyncIterator[Any]) -> None:
    aclose = getattr(source, "aclose", None)
    if aclose is not None:
        await aclose()


class _Stream(_ObjectProxy):
    """A vendor's stream object, watched. Iterate it, use it in `with`, close it: all as before."""

    def __init__(
        self,
        stream: Any,
        call: Finishable,
        read: Callable[[Any, Any], None] | None = None,
        last: Callable[[Any], None] | None = None,
    ) -> None:
        """`read` and `last` take the call that is given here."""
        super().__init__(stream)
        self._self_call = call
        self._self_watched = _Watched(call, read, last)
        self._self_iterator: Any = None

    def __del__(self) -> None:
        self._self_watched.leave()


class SyncStream(_Stream):
    """A stream iterated with `for`."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._self_iterator is None:
            self._self_iterator = iter(self.__wrapped__)
        try:
            chunk = next(self._self_iterator)
        except StopIteration:
            self._self_watched.stop()
            raise
        except BaseException as error:
            self._self_watched.stop(error)
            raise
        self._self_watched.see(chunk)
        return chunk

    def __enter__(self) -> Any:
        entered = self.__wrapped__.__enter__()
        return self if entered is self.__wrapped__ else entered

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        try:
            return self.__wrapped__.__exit__(kind, error, trace)
        finally:
            self._self_watched.leave()

    def close(self) -> Any:
        try:
            return self.__wrapped__.close()
        finally:
            self._self_watched.leave()


class AsyncStream(_Stream):
    """A stream iterated with `async for`."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._self_iterator is None:
            self._self_iterator = aiter(self.__wrapped__)
        try:
            chunk = await anext(self._self_iterator)
        except StopAsyncIteration:
            self._self_watched.stop()
            raise
        except BaseException as error:
            self._self_watched.stop(error)
            raise
        self._self_watched.see(chunk)
        return chunk

    async def __aenter__(self) -> Any:
        entered = await self.__wrapped__.__aenter__()
        return self if entered is self.__wrapped__ else entered

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        try:
            return await self.__wrapped__.__aexit__(kind, error, trace)
        finally:
            self._self_watched.leave()

    async def close(self) -> Any:
        try:
            return await self.__wrapped__.close()
        finally:
            self._self_watched.leave()

    async def aclose(self) -> Any:
        try:
            return await self.__wrapped__.aclose()
        finally:
            self._self_watched.leave()
