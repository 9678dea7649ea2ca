"""Wrappers of Qdrant's calls: methods of the client; what runs in this very process is free and left alone."""

from typing import Any

from callfare.calls.span import CallRequest
from callfare.calls.wrapping import MakeWrapper, ReadRequest, around_async_call, around_call
from callfare.instrumentation.qdrant import _usage

__all__ = ["WRITES", "async_call", "call", "upload"]

WRITES = ("upsert",)
_BATCH_SIZE = 64
"""The client's own, where none is given."""


def _read(operation: str) -> ReadRequest:
    def read(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
        if _is_local(instance):
            return None
        collection = kwargs.get("collection_name", args[0] if args else None)
        points = kwargs.get("points", args[1] if len(args) > 1 else None) if operation in WRITES else None
        written = None if points is None else _usage.vectors_in(points)
        return _usage.request(collection, operation, kwargs.get("limit"), written)

    return read


def _read_upload(operation: str) -> ReadRequest:
    def read(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
        if _is_local(instance):
            return None
        collection = kwargs.get("collection_name", args[0] if args else None)
        records = kwargs.get("vectors", kwargs.get("points", args[1] if len(args) > 1 else None))
        written = _usage.vectors_in(records)
        requests = None if written is None else -(-written // max(1, kwargs.get("batch_size", _BATCH_SIZE)))
        return _usage.request(collection, operation, None, written, requests=requests)

    return read


def _is_local(instance: Any) -> bool:
    return "Local" in type(getattr(instance, "_client", None)).__name__


def call(operation: str) -> MakeWrapper:
    """For a method of `QdrantClient`."""
    return around_call(_read(operation))


def async_call(operation: str) -> MakeWrapper:
    """For a method of `AsyncQdrantClient`."""
    return around_async_call(_read(operation))


def upload(operation: str) -> MakeWrapper:
    """For a method that writes in batches of its own; it is a plain one in both clients."""
    return around_call(_read_upload(operation))
