"""What Pinecone's requests and answers say about the bill. Pure: no OpenTelemetry, no SDK.

Reads are billed in read units, which the answer states over HTTP (over gRPC older servers leave it 0, which means
unknown). Writes are billed in write units, which no answer states: the vectors written are counted.
"""

from collections.abc import Iterable, Sized
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from callfare import attributes as names
from callfare.span import Amount, AttributeValue, Request

__all__ = ["PROVIDER", "READS", "index_of", "read_units", "request", "vectors_in"]

PROVIDER = "pinecone"
READS = ("query", "fetch", "fetch_by_metadata", "search", "list_paginated")


def request(index: str, operation: str, namespace: object, top_k: object, vectors: int | None) -> Request:
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
    quantities: dict[str, Amount] = {} if vectors is None else {f"{names.USAGE_PREFIX}vectors": vectors}
    return Request(operation="retrieval", provider=PROVIDER, model=index, quantities=quantities, attributes=attributes)


def index_of(host: object) -> str:
    """`https://support-abc123.svc.us-east-1.pinecone.io` -> `support-abc123`."""
    if not isinstance(host, str):
        return ""
    name = urlsplit(host if "//" in host else f"//{host}").hostname or ""
    return name.split(".")[0] if name.endswith("pinecone.io") else name


def vectors_in(vectors: object) -> int | None:
    """How many vectors are written, where that can be known without consuming them."""
    return len(vectors) if isinstance(vectors, Sized) and isinstance(vectors, Iterable) else None


def read_units(answer: Any) -> Decimal | None:
    """The units the answer states; 0 says nothing."""
    usage = _field(answer, "usage")
    units = _field(usage, "read_units") or _field(usage, "readUnits")
    return Decimal(str(units)) if units else None


def _field(holder: Any, name: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(name)
    return getattr(holder, name, None)
