"""Threads and executors keep the workflow: a thread started in a workflow works on its account.

Python hands no context to a new thread. Wrapped: `threading.Thread.start` (and so `Timer`) and
`concurrent.futures.ThreadPoolExecutor.submit` (and so `loop.run_in_executor`). asyncio's tasks and `to_thread`
keep their context without us. Together with opentelemetry-instrumentation-threading this is harmless: both
hand over the same context.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare.instrumentor import CallfareInstrumentor, Wrap
from callfare.wrapping import Wrapper

__all__ = ["ThreadsInstrumentor"]

_OURS = "callfare-"
"""Our own threads outlive the request that starts them; they keep no context."""


def _start(_tracer: Tracer) -> Wrapper:
    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = context_api.get_current()
        if context and not instance.name.startswith(_OURS):
            instance.run = _in_context(context, instance.run)
        return wrapped(*args, **kwargs)

    return wrapper


def _submit(_tracer: Tracer) -> Wrapper:
    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = context_api.get_current()
        if context and args:
            args = (_in_context(context, args[0]), *args[1:])
        return wrapped(*args, **kwargs)

    return wrapper


def _in_context(context: Context, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        token = context_api.attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            context_api.detach(token)

    return run


class ThreadsInstrumentor(CallfareInstrumentor):
    """Hands the context to threads and thread pools."""

    name: ClassVar[str] = "threads"
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("threading", "Thread.start", _start),
        Wrap("concurrent.futures.thread", "ThreadPoolExecutor.submit", _submit),
    )
