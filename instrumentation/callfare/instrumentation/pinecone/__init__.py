"""Pinecone: read and write units. SDK 7 to 10, over HTTP and gRPC, synchronous and asyncio.

What is recorded
----------------
- `query`, `search`, `fetch`, `fetch_by_metadata` (from 9), `list_paginated`, and of `documents` (from 10) `search` and
  `fetch`: the read units of the answer, as `gen_ai.usage.billed_quantity` in `read_unit`. Where the answer states none
  (old servers over gRPC), the usage is unknown. `query_namespaces`, `search_records` and `list` call these.
- `upsert`, `upsert_records`, `update` of one record, and `documents.upsert`, `batch_upsert`, `update`: write units in
  `write_unit`, and how many were written. No answer states them: they are estimated from the size of the request, so
  the record says `estimated`; overwriting a record takes more, by its size.
- Tokens that Pinecone embedded for a call, as input tokens, and the `rerank_units` of a search. Both are priced by
  models that no answer reports: such a record is `partial` unless the operator's price file has rows for the index.

The index is the model. Of vectors and documents only the size is read; no vector, id, filter, text or metadata is on
a span. With Traceloop's instrumentation of Pinecone active as well the service sees two scopes for one call and bills
one. Not recorded: `delete`, updates by a filter (as many as match), imports, `inference`, `documents.list`.

Wrapped: those methods of `pinecone.index.Index`, `pinecone.async_client.async_index.AsyncIndex`,
`pinecone.grpc.GrpcIndex` (9 and 10), `pinecone.client.documents.Documents`,
`pinecone.async_client.documents.AsyncDocuments` (10), `pinecone.db_data.index.Index`,
`pinecone.db_data.index_asyncio._IndexAsyncio` and `pinecone.grpc.index_grpc.GRPCIndex` (7 and 8).
"""

from typing import ClassVar

from callfare.instrumentation.pinecone import _wrap
from callfare.instrumentation.pinecone.package import (
    _instruments,  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
)
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["PineconeInstrumentor"]

_BASIC = ("query", "fetch", "list_paginated", "upsert", "update")
_RECORDS = ("search", "upsert_records")
"""Calls on an index that embeds by itself; gRPC has had them since 9."""
_ALL = (*_BASIC, *_RECORDS, "fetch_by_metadata")
_DOCUMENTS = ("search", "fetch", "upsert", "batch_upsert", "update")


def _wraps() -> list[Wrap]:
    classes = (
        ("pinecone.index", "Index", _wrap.call, _ALL),
        ("pinecone.grpc", "GrpcIndex", _wrap.call, _ALL),
        ("pinecone.async_client.async_index", "AsyncIndex", _wrap.async_call, _ALL),
        ("pinecone.db_data.index", "Index", _wrap.call, (*_BASIC, *_RECORDS)),
        ("pinecone.db_data.index_asyncio", "_IndexAsyncio", _wrap.async_call, (*_BASIC, *_RECORDS)),
        ("pinecone.grpc.index_grpc", "GRPCIndex", _wrap.call, _BASIC),
        ("pinecone.client.documents", "Documents", _wrap.call, _DOCUMENTS),
        ("pinecone.async_client.documents", "AsyncDocuments", _wrap.async_call, _DOCUMENTS),
    )
    return [
        Wrap(module, f"{owner}.{method}", make(method))
        for module, owner, make, methods in classes
        for method in methods
    ]


class PineconeInstrumentor(CallfareInstrumentor):
    """Records Pinecone's read and write units."""

    name: ClassVar[str] = "pinecone"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = tuple(_wraps())
