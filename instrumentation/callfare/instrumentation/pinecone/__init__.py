"""Pinecone: read units and vectors written. SDK 7 to 10, over HTTP and gRPC, synchronous and asyncio.

What is recorded
----------------
- `query`, `search`, `fetch`, `fetch_by_metadata` (from 9), `list_paginated`: the read units of the answer, as
  `gen_ai.usage.billed_quantity` in `read_unit`. Where the answer states none (old servers over gRPC), the usage is
  unknown. `query_namespaces`, `search_records` and `list` call these.
- `upsert`, `upsert_records`: vectors written. Write units are stated nowhere, and have no price of their own here.

The index is the model. No vector, id, filter or metadata is read. With Traceloop's instrumentation of Pinecone
active as well the service sees two scopes for one call and bills one.

Wrapped: those methods of `pinecone.index.Index`, `pinecone.async_client.async_index.AsyncIndex`,
`pinecone.grpc.GrpcIndex` (9 and 10), `pinecone.db_data.index.Index`, `pinecone.db_data.index_asyncio._IndexAsyncio`
and `pinecone.grpc.index_grpc.GRPCIndex` (7 and 8).
"""

from typing import ClassVar

from callfare.instrumentation.pinecone import _wrap
from callfare.instrumentation.pinecone.package import (
    _instruments,  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
)
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["PineconeInstrumentor"]

_BASIC = ("query", "fetch", "list_paginated", "upsert")
_RECORDS = ("search", "upsert_records")
"""Calls on an index that embeds by itself; gRPC has had them since 9."""
_ALL = (*_BASIC, *_RECORDS, "fetch_by_metadata")


def _wraps() -> list[Wrap]:
    classes = (
        ("pinecone.index", "Index", _wrap.call, _ALL),
        ("pinecone.grpc", "GrpcIndex", _wrap.call, _ALL),
        ("pinecone.async_client.async_index", "AsyncIndex", _wrap.async_call, _ALL),
        ("pinecone.db_data.index", "Index", _wrap.call, (*_BASIC, *_RECORDS)),
        ("pinecone.db_data.index_asyncio", "_IndexAsyncio", _wrap.async_call, (*_BASIC, *_RECORDS)),
        ("pinecone.grpc.index_grpc", "GRPCIndex", _wrap.call, _BASIC),
    )
    return [
        Wrap(module, f"{owner}.{method}", make(method))
        for module, owner, make, methods in classes
        for method in methods
    ]


class PineconeInstrumentor(CallfareInstrumentor):
    """Records Pinecone's read units and written vectors."""

    name: ClassVar[str] = "pinecone"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = tuple(_wraps())
