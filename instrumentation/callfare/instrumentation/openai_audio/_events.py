"""Watch the connections of OpenAI's SDK: each has a listener that gets every message that comes in, and the end.

`recv`, iteration and handlers all go through `recv_bytes`, which an application may also call itself, so that is what
is wrapped. Sound and text come in thousands of pieces without usage; they are recognised by their first bytes and not
parsed.
"""

import json
import weakref
from collections.abc import Callable
from typing import Any, Final, Protocol

from opentelemetry.trace import Tracer

from callfare.calls.wrapping import MakeWrapper, Wrapper
from callfare.guard import quietly

__all__ = ["Listener", "MakeListener", "async_closing", "async_receiving", "closing", "listener_of", "receiving"]


class Listener(Protocol):
    """What listens to one connection."""

    def on_event(self, event: dict[str, Any]) -> None:
        """Take a message that is more than a piece of sound or text."""
        ...

    def closed(self) -> None:
        """The application closed the connection."""
        ...


MakeListener = Callable[[Tracer], Listener]

_listeners: "weakref.WeakKeyDictionary[Any, Listener]" = weakref.WeakKeyDictionary()
_TYPE_BYTES: Final = 200
"""The type of a message is within this many first bytes."""
_PIECES: Final = (b'.delta"', b'.append"')


def listener_of(connection: Any, make_listener: MakeListener, tracer: Tracer) -> Listener:
    """Return the listener of a connection, made at its first message; it lives as long as the connection."""
    listener = _listeners.get(connection)
    if listener is None:
        listener = _listeners[connection] = make_listener(tracer)
    return listener


@quietly
def _on_message(connection: Any, message: bytes, make_listener: MakeListener, tracer: Tracer) -> None:
    start = message[:_TYPE_BYTES]
    if any(piece in start for piece in _PIECES):
        return
    event = json.loads(message)
    if isinstance(event, dict):
        listener_of(connection, make_listener, tracer).on_event(event)


def receiving(make_listener: MakeListener) -> MakeWrapper:
    """For `recv_bytes`."""

    def make(tracer: Tracer) -> Wrapper:
        def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            message = wrapped(*args, **kwargs)
            _on_message(instance, message, make_listener, tracer)
            return message

        return wrapper

    return make


def async_receiving(make_listener: MakeListener) -> MakeWrapper:
    """The same for asyncio."""

    def make(tracer: Tracer) -> Wrapper:
        async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            message = await wrapped(*args, **kwargs)
            _on_message(instance, message, make_listener, tracer)
            return message

        return wrapper

    return make


@quietly
def _end(connection: Any) -> None:
    listener = _listeners.get(connection)
    if listener is not None:
        listener.closed()


def closing(_tracer: Tracer) -> Wrapper:
    """Wrapper of a connection's `close`."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return wrapped(*args, **kwargs)
        finally:
            _end(instance)

    return wrapper


def async_closing(_tracer: Tracer) -> Wrapper:
    """The same for asyncio."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return await wrapped(*args, **kwargs)
        finally:
            _end(instance)

    return wrapper
