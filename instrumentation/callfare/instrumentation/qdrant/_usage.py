"""Billed quantities read from Qdrant's requests. Pure: no OpenTelemetry, no SDK.

A Qdrant cluster is billed by the hour: a request or a vector costs nothing by itself, and has the price 0 in the price
list. With the counts an operator can spread the cluster's price over tenants.
"""

from collections.abc import Mapping, Sized
from typing import Any

from callfare import attributes as names
from callfare.calls.span import Amount, AttributeValue, CallRequest

__all__ = ["PROVIDER", "request", "vectors_in"]

PROVIDER = "qdrant"


def request(
    collection: object, operation: str, limit: object, vectors: int | None, *, requests: int | None = 1
) -> CallRequest:
    """One call on a collection, which is the model; an upload is as many requests as it has batches."""
    name = collection if isinstance(collection, str) else ""
    attributes: dict[str, AttributeValue] = {
        "db.system.name": PROVIDER,
        "db.operation.name": operation,
        "db.collection.name": name,
    }
    if isinstance(limit, int):
        attributes["gen_ai.retrieval.top_k"] = limit
    quantities: dict[str, Amount] = {} if requests is None else {f"{names.USAGE_PREFIX}requests": requests}
    if vectors is not None:
        quantities[f"{names.USAGE_PREFIX}vectors"] = vectors
    return CallRequest(
        operation="retrieval", provider=PROVIDER, model=name, quantities=quantities, attributes=attributes
    )


def vectors_in(points: Any) -> int | None:
    """How many points are written: a list of them, a `Batch` of columns, or arrays by the vectors' names.

    None of an iterator, which only the client may consume.
    """
    ids = getattr(points, "ids", points)
    if isinstance(ids, Mapping):
        ids = next(iter(ids.values()), ())
    return len(ids) if isinstance(ids, Sized) else None
