"""Where Pinecone's calls are caught: methods of an index."""

from typing import Any

from callfare import attributes as names
from callfare.instrumentation.pinecone import _usage
from callfare.span import CallSpan, Request
from callfare.wrapping import MakeWrapper, ReadRequest, around_async_call, around_call

__all__ = ["async_call", "call"]


def _read(operation: str) -> ReadRequest:
    def read(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        written = None
        if operation not in _usage.READS:
            written = _usage.vectors_in(kwargs.get("vectors", kwargs.get("records", _records(operation, args))))
        index = _usage.index_of(_host(instance))
        return _usage.request(index, operation, kwargs.get("namespace"), kwargs.get("top_k"), written)

    return read


def _records(operation: str, args: tuple[Any, ...]) -> Any:
    """Written things by position: first of `upsert`, second of `upsert_records`."""
    position = 1 if operation == "upsert_records" else 0
    return args[position] if len(args) > position else None


def _host(instance: Any) -> Any:
    """`Index.host`; before 8 the configuration has it."""
    host = getattr(instance, "host", None)
    if host is None:
        for config in (getattr(instance, "config", None), getattr(instance, "_config", None)):
            host = host or getattr(config, "host", None)
    return host


def _read_units(call: CallSpan, answer: Any) -> None:
    units = _usage.read_units(answer)
    if units is None:
        call.set(names.USAGE_SOURCE, "unknown")
        return
    call.replace(names.BILLED_QUANTITY, units, source="vendor_body")
    call.set(names.BILLED_UNIT, "read_unit")


def call(operation: str) -> MakeWrapper:
    """For a method of `Index` or `GrpcIndex`."""
    return around_call(_read(operation), _read_units if operation in _usage.READS else None)


def async_call(operation: str) -> MakeWrapper:
    """For a method of `AsyncIndex`."""
    return around_async_call(_read(operation), _read_units if operation in _usage.READS else None)
