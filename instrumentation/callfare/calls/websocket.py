"""Watch long connections of a vendor's SDK: every message that goes out or comes in, and how the connection ended.

In: the SDK's WebSocket connection, and a listener that knows the vendor's messages. Out: a proxy with the same
methods, whose `send`, `recv`, iteration and `close` notify the listener. Vendors' clients receive in three ways
(recv, iteration, a thread of their own); all of them go through the connection, so one proxy sees them all.

`around_socket` is for `with client.connect(...) as socket`, `around_async_socket` for `async with`; a connection
that is refused becomes one failed span. The rule that must never break: the listener's errors stay here, the
connection's errors and messages reach the SDK as they are, and the listener gets exactly one end.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.trace import Tracer

from callfare.calls.running import opening
from callfare.calls.span import CallRequest, is_inside_call, open_call
from callfare.calls.wrapping import MakeWrapper, ReadRequest, Wrapper
from callfare.guard import note_internal_error, quietly

if TYPE_CHECKING:

    class _ObjectProxy:
        __wrapped__: Any

        def __init__(self, wrapped: object) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    from wrapt import ObjectProxy as _ObjectProxy

__all__ = [
    "Listener",
    "OpenListener",
    "SocketError",
    "WatchedAsyncSocket",
    "WatchedSocket",
    "around_async_socket",
    "around_socket",
    "record_refusal",
]


class Listener(Protocol):
    """Listens to the messages of a connection. Called from any thread that sends or receives.

    One that also has `asks(message)` is called before a message goes out. It returns what asks the budgets, None where
    none applies; that one raises `BudgetExceeded`, and the message stays here.
    """

    def sent(self, message: Any) -> None:
        """A message went out."""
        ...

    def received(self, message: Any) -> None:
        """A message came in."""
        ...

    def failed(self, error: BaseException) -> None:
        """The connection failed."""
        ...

    def ended(self) -> None:
        """The connection was closed, by either side and in good order. May be called again, also after `failed`."""
        ...


class SocketError(Exception):
    """A vendor's error message on an open socket, as an exception that says only its status."""

    def __init__(self, status_code: Any = None) -> None:
        """`status_code` where the message has one, in HTTP's numbers."""
        super().__init__("error message on a socket")
        self.status_code = status_code


OpenListener = Callable[[Tracer, CallRequest], Listener]
"""Called once the connection is open, in the application's context."""


class _ListenerGuard:
    """Calls the listener; a listener that fails is disabled, except for its end."""

    __slots__ = ("_asks", "_is_disabled", "_listener")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._asks: Callable[[Any], Callable[[], None] | None] | None = getattr(listener, "asks", None)
        self._is_disabled = False

    def _notify(self, on_message: Callable[[Any], None], message: object) -> None:
        if self._is_disabled:
            return
        try:
            on_message(message)
        except Exception as error:  # noqa: BLE001 - the connection must go on
            self._is_disabled = True
            note_internal_error("reading a socket's message", error)

    def ask(self, message: object) -> None:
        """Ask the budgets before a message goes out. Raises `BudgetExceeded`, and nothing else."""
        if self._asks is None or self._is_disabled:
            return
        try:
            reserve = self._asks(message)
        except Exception as error:  # noqa: BLE001 - the connection must go on
            note_internal_error("reading a socket's message", error)
            return
        if reserve is not None:
            reserve()  # outside of the `try`: the only exception that we raise on purpose

    def sent(self, message: object) -> None:
        self._notify(self._listener.sent, message)

    def received(self, message: object) -> None:
        self._notify(self._listener.received, message)

    @quietly
    def raised(self, error: BaseException) -> None:
        """A method of the connection raised: is that its end?"""
        if _is_break(error):
            self._listener.failed(error)
        elif _kind_of(error, "ConnectionClosedOK"):
            self._listener.ended()

    @quietly
    def ended(self) -> None:
        self._listener.ended()


def _kind_of(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _is_break(error: BaseException) -> bool:
    """Whether the connection itself failed; a time-out of one `recv`, say, is no such thing."""
    if _kind_of(error, "ConnectionClosed"):
        return not _kind_of(error, "ConnectionClosedOK")
    return isinstance(error, OSError) and not isinstance(error, TimeoutError)


class _Watched(_ObjectProxy):
    """A connection and the ear at it."""

    def __init__(self, connection: Any, listener: Listener) -> None:
        super().__init__(connection)
        self._self_guard = _ListenerGuard(listener)


class WatchedSocket(_Watched):
    """A blocking connection, watched."""

    def send(self, message: Any, *args: Any, **kwargs: Any) -> Any:
        self._self_guard.ask(message)
        try:
            result = self.__wrapped__.send(message, *args, **kwargs)
        except BaseException as error:
            self._self_guard.raised(error)
            raise
        self._self_guard.sent(message)
        return result

    def recv(self, *args: Any, **kwargs: Any) -> Any:
        try:
            message = self.__wrapped__.recv(*args, **kwargs)
        except BaseException as error:
            self._self_guard.raised(error)
            raise
        self._self_guard.received(message)
        return message

    def __iter__(self) -> Iterator[Any]:
        try:
            for message in self.__wrapped__:
                self._self_guard.received(message)
                yield message
        except GeneratorExit:
            raise
        except BaseException as error:
            self._self_guard.raised(error)
            raise

    def close(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.__wrapped__.close(*args, **kwargs)
        finally:
            self._self_guard.ended()


class WatchedAsyncSocket(_Watched):
    """The same for asyncio."""

    async def send(self, message: Any, *args: Any, **kwargs: Any) -> Any:
        self._self_guard.ask(message)
        try:
            result = await self.__wrapped__.send(message, *args, **kwargs)
        except asyncio.CancelledError:
            # The bytes are in the transport before `send` waits for room: cancelled or not, the vendor gets them.
            self._self_guard.sent(message)
            raise
        except BaseException as error:
            self._self_guard.raised(error)
            raise
        self._self_guard.sent(message)
        return result

    async def recv(self, *args: Any, **kwargs: Any) -> Any:
        try:
            message = await self.__wrapped__.recv(*args, **kwargs)
        except BaseException as error:
            self._self_guard.raised(error)
            raise
        self._self_guard.received(message)
        return message

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for message in self.__wrapped__:
                self._self_guard.received(message)
                yield message
        except GeneratorExit:
            raise
        except BaseException as error:
            self._self_guard.raised(error)
            raise

    async def close(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await self.__wrapped__.close(*args, **kwargs)
        finally:
            self._self_guard.ended()


@quietly
def record_refusal(tracer: Tracer, request: CallRequest, error: BaseException, started_at_unix_ns: int) -> None:
    """One failed span for a connection that never came about; nothing where the application gave up itself."""
    if isinstance(error, Exception):
        open_call(tracer, request, start_time_unix_ns=started_at_unix_ns).fail(error)


@quietly
def _read(
    read_request: ReadRequest, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> CallRequest | None:
    request = read_request(instance, args, kwargs)
    return None if request is None or is_inside_call(request.provider) else request


def around_socket(read_request: ReadRequest, open_listener: OpenListener, attribute: str = "_websocket") -> MakeWrapper:
    """For a method returning a context manager which connects on entry and yields a client around `attribute`."""
    return _around_connecting(_Connecting, read_request, open_listener, attribute)


def around_async_socket(
    read_request: ReadRequest, open_listener: OpenListener, attribute: str = "_websocket"
) -> MakeWrapper:
    """The same for an asynchronous context manager."""
    return _around_connecting(_AsyncConnecting, read_request, open_listener, attribute)


def _around_connecting(
    kind: "type[_Manager]", read_request: ReadRequest, open_listener: OpenListener, attribute: str
) -> MakeWrapper:
    def make(tracer: Tracer) -> Wrapper:
        def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            manager = wrapped(*args, **kwargs)
            request = _read(read_request, instance, args, kwargs)
            return manager if request is None else kind(manager, tracer, request, open_listener, attribute)

        return wrapper

    return make


class _Manager(_ObjectProxy):
    """Connects on entry; the listener's life is the body."""

    _self_socket: type[_Watched]
    """The wrapped connection. The prefix keeps it on the proxy, which looks up other names in the manager."""

    def __init__(
        self, manager: Any, tracer: Tracer, request: CallRequest, open_listener: OpenListener, attribute: str
    ) -> None:
        super().__init__(manager)
        self._self_tracer = tracer
        self._self_request = request
        self._self_open = open_listener
        self._self_attribute = attribute
        self._self_guard: _ListenerGuard | None = None

    def _self_refused(self, error: BaseException, started_at_unix_ns: int) -> None:
        record_refusal(self._self_tracer, self._self_request, error, started_at_unix_ns)

    @quietly
    def _self_watch(self, client: Any) -> None:
        connection = getattr(client, self._self_attribute)
        listener = self._self_open(self._self_tracer, self._self_request)
        self._self_guard = _ListenerGuard(listener)
        setattr(client, self._self_attribute, self._self_socket(connection, listener))

    def _self_leave(self) -> None:
        if self._self_guard is not None:
            self._self_guard.ended()


class _Connecting(_Manager):
    """`with`."""

    _self_socket = WatchedSocket

    def __enter__(self) -> Any:
        started_at_unix_ns = time.time_ns()
        with opening(self._self_request):
            try:
                client = self.__wrapped__.__enter__()
            except BaseException as error:
                self._self_refused(error, started_at_unix_ns)
                raise
            self._self_watch(client)
        return client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        try:
            return self.__wrapped__.__exit__(kind, error, trace)
        finally:
            self._self_leave()


class _AsyncConnecting(_Manager):
    """`async with`."""

    _self_socket = WatchedAsyncSocket

    async def __aenter__(self) -> Any:
        started_at_unix_ns = time.time_ns()
        with opening(self._self_request):
            try:
                client = await self.__wrapped__.__aenter__()
            except BaseException as error:
                self._self_refused(error, started_at_unix_ns)
                raise
            self._self_watch(client)
        return client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        try:
            return await self.__wrapped__.__aexit__(kind, error, trace)
        finally:
            self._self_leave()
