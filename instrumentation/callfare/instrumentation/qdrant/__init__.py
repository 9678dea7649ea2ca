"""Qdrant: requests and vectors written. Client 1.13 and later, over HTTP and gRPC, synchronous and asyncio.

What is recorded
----------------
One `retrieval` span per call of `query_points`, `query_batch_points`, `query_points_groups`, `search`, `search_batch`,
`scroll`, `count`, `retrieve` or `upsert`, with the collection as its model, one request, and the vectors written.
Qdrant bills clusters by the hour, so the price list says 0 for these; an operator's own row can spread the cluster's
price. An in-memory or on-disk client (`QdrantClient(":memory:")`) costs nothing and is not recorded.

`upload_points` and `upload_collection` are one span each, with as many requests as they have batches; of an iterator,
which has no length, neither requests nor vectors are known. Not recorded: other writes, and administration.

Wrapped: those methods of `qdrant_client.qdrant_client.QdrantClient` and
`qdrant_client.async_qdrant_client.AsyncQdrantClient`.
"""

from typing import ClassVar

from callfare.instrumentation.qdrant import _wrap
from callfare.instrumentation.qdrant.package import (
    _instruments,  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
)
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["QdrantInstrumentor"]

_METHODS = ("query_points", "query_batch_points", "query_points_groups", "scroll", "count", "retrieve", *_wrap.WRITES)
_UPLOADS = ("upload_points", "upload_collection")
_GONE = ("search", "search_batch")  # until 1.16


def _wraps() -> list[Wrap]:
    clients = (
        ("qdrant_client.qdrant_client", "QdrantClient", _wrap.call),
        ("qdrant_client.async_qdrant_client", "AsyncQdrantClient", _wrap.async_call),
    )
    return [
        Wrap(module, f"{owner}.{method}", make(method), before="1.16" if method in _GONE else "")
        for module, owner, make in clients
        for method in (*_METHODS, *_GONE)
    ] + [Wrap(module, f"{owner}.{method}", _wrap.upload(method)) for module, owner, _ in clients for method in _UPLOADS]


class QdrantInstrumentor(CallfareInstrumentor):
    """Records Qdrant's requests and written vectors."""

    name: ClassVar[str] = "qdrant"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = tuple(_wraps())
