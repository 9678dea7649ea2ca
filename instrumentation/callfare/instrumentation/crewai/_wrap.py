"""Work on a task in a context that names it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.account import with_attribution
from callfare.calls.wrapping import Wrapper

__all__ = ["in_task", "in_task_async"]


def in_task(_tracer: Tracer) -> Wrapper:
    """Wrap the method that works on a task."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with _named(instance):
            return wrapped(*args, **kwargs)

    return wrapper


def in_task_async(_tracer: Tracer) -> Wrapper:
    """Wrap the coroutine function that does."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with _named(instance):
            return await wrapped(*args, **kwargs)

    return wrapper


@contextmanager
def _named(task: Any) -> Generator[None]:
    name = getattr(task, "name", None)
    token = context_api.attach(with_attribution({names.TASK: name if isinstance(name, str) else None}))
    try:
        yield
    finally:
        context_api.detach(token)
