"""Wrappers for the shapes in which vendors offer paid calls.

In: a pure function that reads the request, and one that reads the answer. Out: a wrapt wrapper that opens the
call, lets the vendor work with the span as current, and finishes the call exactly once. All six shapes keep
the same promises: the vendor's result and exception reach the application unchanged, an error of ours leaves
the call unrecorded rather than broken, and an inner layer of the same provider is not counted again. Before the
vendor is asked the budgets are: `BudgetExceeded` reaches the application, and the request is never sent.
"""

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare.calls.admission import admit
from callfare.calls.running import first_part
from callfare.calls.span import CallRequest, CallSpan, is_inside_call, open_call
from callfare.calls.stream import Finishable, OnChunk, finish, watch_async_generator, watch_generator
from callfare.guard import note_internal_error

if TYPE_CHECKING:

    class _ObjectProxy:
        __wrapped__: Any

        def __init__(self, wrapped: object) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    from wrapt import ObjectProxy as _ObjectProxy

__all__ = [
    "BeginCall",
    "MakeWrapper",
    "ReadAnswer",
    "ReadRequest",
    "Wrapper",
    "around_async_call",
    "around_async_context",
    "around_async_generator",
    "around_call",
    "around_context",
    "around_generator",
    "begin",
    "sending",
    "sending_async",
]

Wrapper = Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], Any]
"""wrapt's order: wrapped, instance, positional arguments, keyword arguments."""
MakeWrapper = Callable[[Tracer], Wrapper]
ReadRequest = Callable[[Any, tuple[Any, ...], dict[str, Any]], CallRequest | None]
"""instance, arguments -> what goes out; None means: nothing paid, leave this call alone."""
ReadAnswer = Callable[[CallSpan, Any], Any]
"""Reads the answer into the call. Returning something other than None hands the application that instead (a
watched stream) and leaves finishing to it; returning None ends the call."""


class SentCall(Finishable, Protocol):
    """A call under way."""

    def context(self) -> Context:
        """The context for the time in which the request is being sent."""
        ...


BeginCall = Callable[[Any, tuple[Any, ...], dict[str, Any]], SentCall | None]
"""instance, arguments -> the call; None means: leave it alone."""


def begin(
    tracer: Tracer, read: ReadRequest, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> CallSpan | None:
    """Open the call, or None where it is not ours to count. Raises `BudgetExceeded` where a budget refuses it."""
    try:
        request = read(instance, args, kwargs)
        if request is None:
            return None
        context = context_api.get_current()
        if is_inside_call(request.provider, context):
            return None
    except Exception as error:  # noqa: BLE001 - the call goes out unrecorded
        note_internal_error("reading a request", error)
        return None
    hold = admit(first_part(request), context)  # outside of the `try`: the only exception that we raise on purpose
    return open_call(tracer, request, context=context, hold=hold)


def _answer(call: SentCall, read: Callable[[Any, Any], Any] | None, answer: Any) -> Any:
    """Return the answer for the application. The call ends here unless a watched stream took it over."""
    replaced = None
    if read is not None:
        try:
            replaced = read(call, answer)
        except Exception as error:  # noqa: BLE001 - the answer is the application's
            note_internal_error("reading an answer", error)
    if replaced is None:
        call.end()
        return answer
    return replaced


def sending(begin_call: BeginCall, read_answer: Callable[[Any, Any], Any] | None) -> Wrapper:
    """Return a wrapper for a plain method that sends and returns the answer. `read_answer` takes the call begun."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = begin_call(instance, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        token = context_api.attach(call.context())
        try:
            answer = wrapped(*args, **kwargs)
        except BaseException as error:
            finish(call, error)
            raise
        finally:
            context_api.detach(token)
        return _answer(call, read_answer, answer)

    return wrapper


def sending_async(begin_call: BeginCall, read_answer: Callable[[Any, Any], Any] | None) -> Wrapper:
    """Return the same for a coroutine method."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = begin_call(instance, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        token = context_api.attach(call.context())
        try:
            answer = await wrapped(*args, **kwargs)
        except BaseException as error:
            finish(call, error)
            raise
        finally:
            context_api.detach(token)
        return _answer(call, read_answer, answer)

    return wrapper


def around_call(read_request: ReadRequest, read_answer: ReadAnswer | None = None) -> MakeWrapper:
    """For a plain method that sends and returns the answer."""
    return lambda tracer: sending(partial(begin, tracer, read_request), read_answer)


def around_async_call(read_request: ReadRequest, read_answer: ReadAnswer | None = None) -> MakeWrapper:
    """For a coroutine method. The span begins when it is awaited."""
    return lambda tracer: sending_async(partial(begin, tracer, read_request), read_answer)


def around_generator(read_request: ReadRequest, read_chunk: OnChunk | None = None) -> MakeWrapper:
    """For a lazy generator method: nothing is sent, and no span begun, before the first `next`."""
    return _around_lazy(watch_generator, read_request, read_chunk)


def around_async_generator(read_request: ReadRequest, read_chunk: OnChunk | None = None) -> MakeWrapper:
    """The same for an asynchronous generator method."""
    return _around_lazy(watch_async_generator, read_request, read_chunk)


def _around_lazy(watch: Callable[..., Any], read_request: ReadRequest, read_chunk: OnChunk | None) -> MakeWrapper:
    def make(tracer: Tracer) -> Wrapper:
        def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            source = wrapped(*args, **kwargs)  # sends nothing yet, but complains of wrong arguments here and now

            def start() -> tuple[CallSpan | None, Any]:
                return begin(tracer, read_request, instance, args, kwargs), source

            return watch(start, read_chunk)

        return wrapper

    return make


def around_context(read_request: ReadRequest, read_answer: ReadAnswer | None = None) -> MakeWrapper:
    """For a method that returns a context manager which sends on entry and yields the answer."""
    return _around_manager(_WatchedContext, read_request, read_answer)


def around_async_context(read_request: ReadRequest, read_answer: ReadAnswer | None = None) -> MakeWrapper:
    """The same for an asynchronous context manager."""
    return _around_manager(_WatchedAsyncContext, read_request, read_answer)


def _around_manager(
    watched: "type[_WatchedManager]", read_request: ReadRequest, read_answer: ReadAnswer | None
) -> MakeWrapper:
    def make(tracer: Tracer) -> Wrapper:
        def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            manager = wrapped(*args, **kwargs)
            return watched(manager, lambda: begin(tracer, read_request, instance, args, kwargs), read_answer)

        return wrapper

    return make


class _WatchedManager(_ObjectProxy):
    """A context manager whose body is the life of the call.

    `read_answer` may leave the call open by returning a replacement, such as a socket's session; the replacement then
    finishes the call, at the latest here.
    """

    def __init__(self, manager: Any, open_: Callable[[], CallSpan | None], read_answer: ReadAnswer | None) -> None:
        super().__init__(manager)
        self._self_open = open_
        self._self_read = read_answer
        self._self_call: CallSpan | None = None

    def __del__(self) -> None:
        _leave(self._self_call, GeneratorExit())


class _WatchedContext(_WatchedManager):
    """`with`."""

    def __enter__(self) -> Any:
        call = self._self_call = self._self_open()
        if call is None:
            return self.__wrapped__.__enter__()
        token = context_api.attach(call.context())
        try:
            entered = self.__wrapped__.__enter__()
        except BaseException as error:
            finish(call, error)
            raise
        finally:
            context_api.detach(token)
        return _entered(call, self._self_read, entered)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        try:
            handled = self.__wrapped__.__exit__(kind, error, trace)
        except BaseException as raised:
            _leave(self._self_call, raised)
            raise
        _leave(self._self_call, error)
        return handled


class _WatchedAsyncContext(_WatchedManager):
    """`async with`."""

    async def __aenter__(self) -> Any:
        call = self._self_call = self._self_open()
        if call is None:
            return await self.__wrapped__.__aenter__()
        token = context_api.attach(call.context())
        try:
            entered = await self.__wrapped__.__aenter__()
        except BaseException as error:
            finish(call, error)
            raise
        finally:
            context_api.detach(token)
        return _entered(call, self._self_read, entered)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        try:
            handled = await self.__wrapped__.__aexit__(kind, error, trace)
        except BaseException as raised:
            _leave(self._self_call, raised)
            raise
        _leave(self._self_call, error)
        return handled


def _entered(call: CallSpan, read: ReadAnswer | None, entered: Any) -> Any:
    """Read what the context yields; the call itself stays open until the context is left."""
    if read is None:
        return entered
    try:
        replaced = read(call, entered)
    except Exception as error:  # noqa: BLE001 - the answer is the application's
        note_internal_error("reading an answer", error)
        return entered
    return entered if replaced is None else replaced


def _leave(call: CallSpan | None, error: BaseException | None) -> None:
    if call is None:
        return
    if error is None and call.is_streaming:
        call.interrupt()  # left before the stream was exhausted: its reader would have ended the call
    else:
        finish(call, error)
