"""The query parameters that several routes have, with their descriptions."""

from typing import Annotated, Final

from fastapi import Query

from cost_exporter.report.spend import COLUMN_BY_DIMENSION
from cost_exporter.store.browsing import SORTS

__all__ = [
    "ApiKey",
    "Cursor",
    "EndDate",
    "Format",
    "GroupBy",
    "Limit",
    "Name",
    "OnlyTenant",
    "Outcome",
    "SortBy",
    "StartDate",
    "StreamFormat",
    "TraceIdFilter",
    "Unpriced",
    "User",
    "WorkflowIdFilter",
]

_DIMENSIONS: Final = ", ".join(f"`{name}`" for name in COLUMN_BY_DIMENSION)
_SORTS: Final = ", ".join(f"`{name}`" for name in SORTS)

StartDate = Annotated[
    str | None,
    Query(description="First day, UTC, `YYYY-MM-DD`. Default: 30 days before the end.", examples=["2026-11-01"]),
]
EndDate = Annotated[str | None, Query(description="End, exclusive, UTC. Default: tomorrow.", examples=["2026-12-01"])]
GroupBy = Annotated[str, Query(description=f"Comma-separated, of {_DIMENSIONS}.", examples=["tenant,model"])]
OnlyTenant = Annotated[
    str | None, Query(description="Only this tenant; 404 where the token is for another one.", examples=["acme"])
]
TraceIdFilter = Annotated[str | None, Query(description="Only this trace, 32 hex digits with or without dashes.")]
WorkflowIdFilter = Annotated[str | None, Query(description="Only the application's own id of a workflow.")]
Name = Annotated[str | None, Query(description="A part of the workflow's name, in any case.", examples=["support"])]
User = Annotated[str | None, Query(description="Only what has calls of this user.", examples=["user-7"])]
ApiKey = Annotated[str | None, Query(description="Only what has calls with this API key's id.", examples=["key-3"])]
Outcome = Annotated[str | None, Query(description="`running`, `completed` or `failed`.", examples=["failed"])]
Unpriced = Annotated[str | None, Query(description="`true`: only what has calls of unknown cost.", examples=["true"])]
SortBy = Annotated[str | None, Query(description=f"{_SORTS}; most first. Default `started`.", examples=["cost"])]
Limit = Annotated[str | None, Query(description="How many, at most 1000. Default 100.", examples=["100"])]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
Format = Annotated[
    str | None,
    Query(description="`json`, or all of it as a stream: `csv` or `ndjson`. Default `json`.", examples=["csv"]),
]
StreamFormat = Annotated[str | None, Query(description="`ndjson` or `csv`. Default `ndjson`.", examples=["csv"])]
