"""Sessions that end with a method of the SDK: a connection's `close`, a conversation's loop. However that ends."""

import weakref
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Tracer

from callfare.calls.session import Session
from callfare.calls.stream import ended_by_application
from callfare.calls.wrapping import MakeWrapper, Wrapper
from callfare.guard import quietly

__all__ = ["Sessions", "end", "ending", "ending_async"]

Sessions = weakref.WeakKeyDictionary[Any, Session]
"""By the SDK's object."""


def ending(sessions: Sessions, after: Callable[[Any], None] = lambda _: None) -> MakeWrapper:
    """Make the wrapper of a method after which its object's session is over; `after` gets the object."""

    def make(_tracer: Tracer) -> Wrapper:
        def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            error: BaseException | None = None
            try:
                return wrapped(*args, **kwargs)
            except BaseException as raised:
                error = raised
                raise
            finally:
                end(sessions, instance, error)
                after(instance)

        return wrapper

    return make


def ending_async(sessions: Sessions, after: Callable[[Any], None] = lambda _: None) -> MakeWrapper:
    """The same for a coroutine method."""

    def make(_tracer: Tracer) -> Wrapper:
        async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            error: BaseException | None = None
            try:
                return await wrapped(*args, **kwargs)
            except BaseException as raised:
                error = raised
                raise
            finally:
                end(sessions, instance, error)
                after(instance)

        return wrapper

    return make


@quietly
def end(sessions: Sessions, instance: Any, error: BaseException | None = None) -> None:
    """End the session of this object, if it has one that is open."""
    session = sessions.pop(instance, None)
    if session is None:
        return
    if error is None or ended_by_application(error):
        session.close()
    else:
        session.fail(error)
