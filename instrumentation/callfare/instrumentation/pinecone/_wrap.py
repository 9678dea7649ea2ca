"""Wrappers of Pinecone's calls: methods of an index."""

from typing import Any

from callfare import attributes as names
from callfare.calls.span import CallRequest, CallSpan
from callfare.calls.wrapping import MakeWrapper, ReadAnswer, ReadRequest, around_async_call, around_call
from callfare.instrumentation.pinecone import _usage

__all__ = ["async_call", "call"]


def _read(operation: str) -> ReadRequest:
    def read(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest:
        index = _usage.index_of(_host(instance))
        written, units = (None, None) if operation in _usage.READS else _written(operation, args, kwargs)
        namespace, top_k = kwargs.get("namespace"), kwargs.get("top_k")
        return _usage.request(index, operation, namespace=namespace, top_k=top_k, vectors=written, units=units)

    return read


def _written(operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int | None, int | None]:
    """How many things are written, and the units of it; an update by a filter meets who knows how many."""
    records = next((kwargs[name] for name in ("vectors", "records", "documents") if name in kwargs), None)
    if records is None and operation == "update":
        records = None if kwargs.get("filter") is not None else [_change(args, kwargs)]
    elif records is None:
        records = _records(operation, args)
    units = _usage.write_units(
        records,
        is_embedded=operation == "upsert_records",
        is_update=operation == "update",
        batch_size=kwargs.get("batch_size", _batch_size(operation)),
    )
    return (None if units is None else _usage.vectors_in(records)), units


def _change(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What `update` of one record writes, by name or, before 9, by position."""
    parts = ("id", "values", "set_metadata", "namespace", "sparse_values")
    stated = {**dict(zip(parts, args, strict=False)), **kwargs}
    return {part: stated[part] for part in parts if part != "namespace" and part in stated}


def _batch_size(operation: str) -> int | None:
    return 50 if operation == "batch_upsert" else None


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
    call.replace(names.INPUT_TOKENS, _usage.embedded_tokens(answer))
    call.replace(f"{names.USAGE_PREFIX}rerank_units", _usage.rerank_units(answer))
    units = _usage.read_units(answer)
    if units is None:
        call.set(names.USAGE_SOURCE, "unknown")
        return
    call.replace(names.BILLED_QUANTITY, units, source="vendor_body")
    call.set(names.BILLED_UNIT, "read_unit")


def _read_write(call: CallSpan, answer: Any) -> None:
    call.replace(names.INPUT_TOKENS, _usage.embedded_tokens(answer))
    units = _usage.stated_write_units(answer)
    if units is not None:
        call.replace(names.BILLED_QUANTITY, units, source="vendor_body")
        call.set(names.BILLED_UNIT, "write_unit")


def _answer_of(operation: str) -> ReadAnswer:
    return _read_units if operation in _usage.READS else _read_write


def call(operation: str) -> MakeWrapper:
    """For a method of `Index` or `GrpcIndex`."""
    return around_call(_read(operation), _answer_of(operation))


def async_call(operation: str) -> MakeWrapper:
    """For a method of `AsyncIndex`."""
    return around_async_call(_read(operation), _answer_of(operation))
