"""Tasks of pools and executors in other processes: each runs in the context in which it was submitted.

Otherwise a forked worker would keep the context in which it was forked, and attribute later tasks to that tenant. A
spawned one has no context. A task carries the same W3C headers as an HTTP request.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

from opentelemetry import context as context_api
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly
from callfare.instrumentation.threads._context import in_context

__all__ = ["Carried", "bootstrap", "hand_in", "start"]

_HEADERS: Final = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
_OF_PROCESS: Final = "_callfare_carrier"


class Carried:
    """A function and the context it is to work in, in a form that another process takes."""

    __slots__ = ("carrier", "function")

    def __init__(self, function: Callable[..., Any]) -> None:
        """Take the current context along."""
        self.function = function
        self.carrier = _carrier()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Work, in the other process."""
        return in_context(_context_of(self.carrier), self.function)(*args, **kwargs)


@quietly
def _carrier() -> dict[str, str]:
    carrier: dict[str, str] = {}
    _HEADERS.inject(carrier)
    return carrier


def _context_of(carrier: dict[str, str] | None) -> Context:
    return _HEADERS.extract(carrier or {}, Context())


def hand_in(_tracer: Tracer) -> Wrapper:
    """Wrapper of a pool's methods that take a function and what to call it with."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return wrapped(_taken_along(instance, args[0]), *args[1:], **kwargs)
        if "func" in kwargs:
            return wrapped(**{**kwargs, "func": _taken_along(instance, kwargs["func"])})
        return wrapped(**kwargs)

    return wrapper


def _taken_along(pool: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    pools = sys.modules.get("multiprocessing.pool")  # not imported for those who use none: it takes 20 ms
    if pools is not None and isinstance(pool, pools.ThreadPool):
        return in_context(context_api.get_current(), function)
    return Carried(function)


def start(_tracer: Tracer) -> Wrapper:
    """Wrapper of `BaseProcess.start`: what is spawned finds the context on the process object. A fork has it."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _leave(instance)
        return wrapped(*args, **kwargs)

    return wrapper


@quietly
def _leave(process: Any) -> None:
    setattr(process, _OF_PROCESS, _carrier())


def bootstrap(_tracer: Tracer) -> Wrapper:
    """Wrapper of `BaseProcess._bootstrap`, the child's whole life."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        carrier: dict[str, str] | None = getattr(instance, _OF_PROCESS, None)
        if carrier is None or context_api.get_current():
            return wrapped(*args, **kwargs)
        return in_context(_context_of(carrier), wrapped)(*args, **kwargs)

    return wrapper
