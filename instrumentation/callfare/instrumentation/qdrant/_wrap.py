"""Where Qdrant's calls are caught: methods of the client; what runs in this very process is free and left alone."""

from typing import Any

from callfare.instrumentation.qdrant import _usage
from callfare.span import Request
from callfare.wrapping import MakeWrapper, ReadRequest, around_async_call, around_call

__all__ = ["WRITES", "async_call", "call"]

WRITES = ("upsert",)


def _read(operation: str) -> ReadRequest:
    def read(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request | None:
        if "Local" in type(getattr(instance, "_client", None)).__name__:
            return None
        collection = kwargs.get("collection_name", args[0] if args else None)
        points = kwargs.get("points", args[1] if len(args) > 1 else None) if operation in WRITES else None
        written = None if points is None else _usage.vectors_in(points)
        return _usage.request(collection, operation, kwargs.get("limit"), written)

    return read


def call(operation: str) -> MakeWrapper:
    """For a method of `QdrantClient`."""
    return around_call(_read(operation))


def async_call(operation: str) -> MakeWrapper:
    """For a method of `AsyncQdrantClient`."""
    return around_async_call(_read(operation))
