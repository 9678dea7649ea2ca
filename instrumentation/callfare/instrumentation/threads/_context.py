"""A function that works in a given context, whatever the context of its caller."""

from collections.abc import Callable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context

__all__ = ["in_context"]


def in_context(context: Context, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, in this context and in no other."""

    def run(*args: Any, **kwargs: Any) -> Any:
        token = context_api.attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            context_api.detach(token)

    return run
