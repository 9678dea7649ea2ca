"""Threads, executors and processes keep the workflow: what is started in a workflow is attributed to it.

Python hands no context to a new thread. Wrapped: `threading.Thread.start` (and so `Timer`) and
`concurrent.futures.ThreadPoolExecutor.submit` (and so `loop.run_in_executor`). asyncio's tasks and `to_thread`
keep their context without us. Together with opentelemetry-instrumentation-threading this is harmless: both
hand over the same context. A worker outlives the task it was started for: each task brings its own context, also
where that is none. The same for processes, forked or spawned: `ProcessPoolExecutor.submit`, `multiprocessing.Pool`
with its `ThreadPool`, and `Process.start`.
"""

from typing import Any, ClassVar

from opentelemetry import context as context_api
from opentelemetry.trace import Tracer

from callfare.calls.wrapping import Wrapper
from callfare.instrumentation.threads import _processes
from callfare.instrumentation.threads._context import in_context
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["ThreadsInstrumentor"]

_OURS = "callfare-"
"""Our own threads outlive the request that starts them; they keep no context."""


def _start(_tracer: Tracer) -> Wrapper:
    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = context_api.get_current()
        if context and not instance.name.startswith(_OURS):
            instance.run = in_context(context, instance.run)
        return wrapped(*args, **kwargs)

    return wrapper


def _submit(_tracer: Tracer) -> Wrapper:
    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args and not _is_of_interpreters(instance):
            args = (in_context(context_api.get_current(), args[0]), *args[1:])
        return wrapped(*args, **kwargs)

    return wrapper


def _is_of_interpreters(executor: object) -> bool:
    """Python 3.14's other thread pool, whose functions must be picklable."""
    return any(kind.__module__ == "concurrent.futures.interpreter" for kind in type(executor).__mro__)


class ThreadsInstrumentor(CallfareInstrumentor):
    """Hands the context to threads, processes and pools of either."""

    name: ClassVar[str] = "threads"
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("threading", "Thread.start", _start),
        Wrap("concurrent.futures.thread", "ThreadPoolExecutor.submit", _submit),
        Wrap("concurrent.futures.process", "ProcessPoolExecutor.submit", _processes.hand_in),
        Wrap("multiprocessing.pool", "Pool.apply_async", _processes.hand_in),
        Wrap("multiprocessing.pool", "Pool._map_async", _processes.hand_in),
        Wrap("multiprocessing.pool", "Pool.imap", _processes.hand_in),
        Wrap("multiprocessing.pool", "Pool.imap_unordered", _processes.hand_in),
        Wrap("multiprocessing.process", "BaseProcess.start", _processes.start),
        Wrap("multiprocessing.process", "BaseProcess._bootstrap", _processes.bootstrap),
    )
