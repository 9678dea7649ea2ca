"""A function that works in a context: plain functions, coroutines and generators of either kind.

In: the function, and what begins a run of it: the context to work in, and what to do when the run is over. Out: a
function of the same kind. A generator works in the context, and its consumer does not.
"""

import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context

__all__ = ["Begin", "decorated"]

Begin = Callable[[], tuple[Context, Callable[[BaseException | None], None]]]
"""Begins a run; what it returns beside the context is called once, with what ended the run."""


def decorated(function: Any, begin: Begin) -> Any:
    """The same function, each call of it in a context of its own."""
    if inspect.isasyncgenfunction(function):
        return _around_async_generator(begin, function)
    if inspect.isgeneratorfunction(function):
        return _around_generator(begin, function)
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with _running(begin):
                return await function(*args, **kwargs)

        return run_async

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _running(begin):
            return function(*args, **kwargs)

    return run


@contextmanager
def _running(begin: Begin) -> Generator[None]:
    context, finish = begin()
    token = context_api.attach(context)
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        context_api.detach(token)
        finish(error)


def _around_generator(begin: Begin, function: Any) -> Any:
    """The context holds while the generator works, not while its consumer does."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        context, finish = begin()
        source = function(*args, **kwargs)
        error: BaseException | None = None
        step: Callable[[], Any] = source.__next__
        try:
            while True:
                token = context_api.attach(context)
                try:
                    item = step()
                except StopIteration as stop:
                    return stop.value
                finally:
                    context_api.detach(token)
                try:
                    sent = yield item
                except GeneratorExit:
                    source.close()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - passed on to the generator
                    step = _thrower(source, thrown)
                else:
                    step = _sender(source, sent)
        except BaseException as raised:
            error = raised
            raise
        finally:
            finish(error)

    return run


def _around_async_generator(begin: Begin, function: Any) -> Any:
    """The same, asynchronous."""

    @wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        context, finish = begin()
        source = function(*args, **kwargs)
        error: BaseException | None = None
        step: Callable[[], Any] = source.__anext__
        try:
            while True:
                token = context_api.attach(context)
                try:
                    item = await step()
                except StopAsyncIteration:
                    return
                finally:
                    context_api.detach(token)
                try:
                    sent = yield item
                except GeneratorExit:
                    await source.aclose()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - passed on to the generator
                    step = _athrower(source, thrown)
                else:
                    step = _asender(source, sent)
        except BaseException as raised:
            error = raised
            raise
        finally:
            finish(error)

    return run


def _sender(source: Any, sent: Any) -> Callable[[], Any]:
    return lambda: source.send(sent)


def _thrower(source: Any, thrown: BaseException) -> Callable[[], Any]:
    return lambda: source.throw(thrown)


def _asender(source: Any, sent: Any) -> Callable[[], Any]:
    return lambda: source.asend(sent)


def _athrower(source: Any, thrown: BaseException) -> Callable[[], Any]:
    return lambda: source.athrow(thrown)
