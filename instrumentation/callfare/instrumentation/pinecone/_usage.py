"""Billed quantities read from Pinecone's requests and answers. Pure: no OpenTelemetry, no SDK.

Reads are billed in read units, which the answer states over HTTP (over gRPC older servers leave it 0, which means
unknown), in tokens where Pinecone embeds the text, and in rerank units where it reranks what it found. Writes are
billed in write units: no answer states them yet, so they are worked out from the size of what is written, as
Pinecone's page on cost says (2026-11): one for each kilobyte of a request, five at least. What an existing record
takes on top, when it is overwritten, only Pinecone knows.
"""

from collections.abc import Iterable, Mapping, Sized
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from callfare import attributes as names
from callfare.calls.span import Amount, AttributeValue, CallRequest

__all__ = [
    "PROVIDER",
    "READS",
    "embedded_tokens",
    "index_of",
    "read_units",
    "request",
    "rerank_units",
    "stated_write_units",
    "vectors_in",
    "write_units",
]

PROVIDER = "pinecone"
READS = ("query", "fetch", "fetch_by_metadata", "search", "list_paginated")
_BYTES_A_UNIT, _UNITS_MIN = 1_000, 5
_BYTES_OF_HOSTED_VECTOR = 4 * 1_024
"""For a text that Pinecone embeds: its dense models make 1,024 dimensions by default."""
_PARTS = ("id", "values", "sparse_values", "metadata", "indices")


def request(
    index: str, operation: str, *, namespace: object, top_k: object, vectors: int | None, units: int | None
) -> CallRequest:
    """One call on an index. The index is the model, as prices may differ between indexes."""
    attributes: dict[str, AttributeValue] = {
        "db.system.name": PROVIDER,
        "db.operation.name": operation,
        "db.collection.name": index,
    }
    if isinstance(namespace, str):
        attributes["db.namespace"] = namespace
    if isinstance(top_k, int):
        attributes["gen_ai.retrieval.top_k"] = top_k
    quantities: dict[str, Amount] = {}
    if units is not None:
        quantities[names.BILLED_QUANTITY] = units
        attributes[names.BILLED_UNIT] = "write_unit"
        if vectors is not None:
            quantities[f"{names.USAGE_PREFIX}vectors"] = vectors
    return CallRequest(
        operation="retrieval",
        provider=PROVIDER,
        model=index,
        source="request" if units is None else "estimated",
        quantities=quantities,
        attributes=attributes,
    )


def index_of(host: object) -> str:
    """`https://support-abc123.svc.us-east-1.pinecone.io` -> `support-abc123`."""
    if not isinstance(host, str):
        return ""
    name = urlsplit(host if "//" in host else f"//{host}").hostname or ""
    return name.split(".")[0] if name.endswith("pinecone.io") else name


def vectors_in(vectors: object) -> int | None:
    """How many vectors are written, where that can be known without consuming them."""
    return len(vectors) if isinstance(vectors, Sized) and isinstance(vectors, Iterable) else None


def write_units(
    records: Any, *, is_embedded: bool = False, is_update: bool = False, batch_size: object = None
) -> int | None:
    """Units of writing these; None where that cannot be known without consuming them.

    Of an update both the old and the new state count, and the old one is taken to be as large.
    """
    if vectors_in(records) is None:
        return None
    hosted = _BYTES_OF_HOSTED_VECTOR if is_embedded else 0
    sizes = [(_bytes_of_record(record) + hosted) * (2 if is_update else 1) for record in records]
    step = batch_size if isinstance(batch_size, int) and batch_size > 0 else max(1, len(sizes))
    return sum(_units(sum(sizes[start : start + step])) for start in range(0, len(sizes), step))


def _units(size_bytes: int) -> int:
    return max(_UNITS_MIN, -(-size_bytes // _BYTES_A_UNIT))


def _bytes_of_record(record: Any) -> int:
    if isinstance(record, (Mapping, list, tuple)):
        return _bytes_of(record)  # pyright: ignore[reportUnknownArgumentType] - whatever the application writes
    return sum(_bytes_of(getattr(record, part, None)) for part in _PARTS)


def _bytes_of(value: Any) -> int:
    """About what a value takes: UTF-8 of texts, four bytes a dimension, eight a number."""
    if value is None or isinstance(value, (bool, int, float)):
        return 0 if value is None else 8
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, Mapping):
        return sum(len(str(key)) + _bytes_of(part) for key, part in value.items())
    if isinstance(value, (list, tuple)) and value and not isinstance(value[0], (int, float)):
        return sum(_bytes_of(part) for part in value)
    if isinstance(value, Sized):
        return 4 * len(value)  # a vector: a list of numbers, or an array
    return _bytes_of_record(value)


def read_units(answer: Any) -> Decimal | None:
    """The units the answer states; 0 says nothing."""
    usage = _field(answer, "usage")
    units = _field(usage, "read_units") or _field(usage, "readUnits")
    return Decimal(str(units)) if units else None


def rerank_units(answer: Any) -> int | None:
    """Units of reranking the results, at the price of the model that does it."""
    units = _field(_field(answer, "usage"), "rerank_units")
    return units if isinstance(units, int) and units > 0 else None


def stated_write_units(answer: Any) -> Decimal | None:
    """The units the answer to a write states, where it ever does."""
    units = _field(_field(answer, "usage"), "write_units")
    return Decimal(str(units)) if units else None


def embedded_tokens(answer: Any) -> int | None:
    """Tokens of text that Pinecone embedded for this call, at the price of the index's model."""
    tokens = _field(_field(answer, "usage"), "embed_total_tokens")
    return tokens if isinstance(tokens, int) and tokens > 0 else None


def _field(holder: Any, name: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(name)
    return getattr(holder, name, None)
