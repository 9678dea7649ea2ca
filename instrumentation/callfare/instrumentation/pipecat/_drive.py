"""Run a service's own methods in another context.

Subclasses override them, so it is the object that gets the wrapper, once its class has made it.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context

from callfare.guard import quietly

__all__ = ["in_context", "replace_method"]


@quietly
def replace_method(service: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Give this object `make(its method)`; nothing where it has no such method."""
    method = getattr(service, name, None)
    if method is not None:
        setattr(service, name, make(method))


async def in_context(source: Any, context: Context | None) -> AsyncGenerator[Any, None]:
    """Drive a generator in a context, giving the consumer's back at every item."""
    while True:
        token = context_api.attach(context) if context is not None else None
        try:
            item = await anext(source, _END)
        finally:
            if token is not None:
                context_api.detach(token)
        if item is _END:
            return
        yield item


_END = object()
