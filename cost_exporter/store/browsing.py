"""Read workflows and calls page by page, or as a stream that needs no more memory for a million rows than for ten.

A page begins after a `Place`: the sort key and the ids of the last row before it. So a page shows no row twice and
leaves none out, however many arrive between two requests.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

from psycopg import sql

from cost_exporter.store.database.statements import statement
from cost_exporter.store.reading import Period, Reader, Row

__all__ = [
    "SORTS",
    "Place",
    "Sort",
    "WorkflowFilter",
    "list_calls",
    "list_workflows",
    "margin_of_period",
    "model_breakdown",
    "place_after",
    "request_times",
    "stream_workflows",
    "tenants_of_period",
    "unpriced_list",
]

Sort = Literal["started", "cost", "duration"]
_KEY_BY_SORT: Final[dict[Sort, LiteralString]] = {
    "started": "started_at",
    "cost": "total_cost_usd",
    "duration": "coalesce(ended_at - started_at, interval '0')",
}
_TYPE_BY_SORT: Final[dict[Sort, LiteralString]] = {"started": "timestamptz", "cost": "numeric", "duration": "interval"}
_LOOKED_UP_MAX: Final = 15_000
"""Traces with a call of a user or key. With more of them, looking into each workflow soon finds a page full."""
SORTS: Final = tuple(_KEY_BY_SORT)
"""Measures by which workflows can be ordered, most first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFilter:
    """Which workflows: all of a period but for what is given."""

    period: Period
    tenant: str | None = None
    trace_id: UUID | None = None
    workflow_id: str | None = None
    """The application's own id, exactly."""
    name: str | None = None
    """A part of the workflow's name, in any case."""
    user: str | None = None
    api_key: str | None = None
    outcome: str | None = None
    only_unpriced: bool = False

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the statements."""
        names = ("tenant", "trace_id", "workflow_id", "name", "user", "api_key", "outcome", "only_unpriced")
        period = {"since": self.period.since, "until": self.period.until}
        return period | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """After which row a page begins."""

    key: Any
    """The value the row is sorted by: an instant, a cost or a duration."""
    trace_id: UUID
    tenant: str
    namespace: str


def list_workflows(
    reader: Reader, wanted: WorkflowFilter, *, sort: Sort, count: int, after: Place | None = None
) -> list[Row]:
    """Return rows of `workflow_cost` with what was paid for, most first."""
    among, of_caller = _of_caller(reader, wanted)
    parts = _order(sort, after) | {"among": among}
    return reader.ask("workflow_list", _listing(wanted, count, after) | of_caller, parts)


def stream_workflows(reader: Reader, wanted: WorkflowFilter) -> Iterator[Row]:
    """Yield all that fit, the newest first."""
    among, of_caller = _of_caller(reader, wanted)
    parts = _order("started", None) | {"among": among}
    return reader.stream("workflow_list", _listing(wanted, None, None) | of_caller, parts)


def list_calls(reader: Reader, wanted: WorkflowFilter) -> Iterator[Row]:
    """Yield rows of `cost_record` by tenant, the oldest first, duplicates included."""
    return reader.stream("call_list", wanted.parameters(), {})


def model_breakdown(reader: Reader, period: Period, tenant: str | None, *, count: int) -> list[Row]:
    """Return cost, usage and mean latency of each model, the most expensive first. For periods of whole days."""
    return reader.ask("model_breakdown", _over(period, tenant) | {"count": count}, {})


def request_times(reader: Reader, period: Period, tenant: str | None) -> Row:
    """Return `first_request_at` and `last_request_at`; null where there was no call."""
    return reader.ask("request_times", _over(period, tenant), {})[0]


def unpriced_list(reader: Reader, period: Period, tenant: str | None, *, count: int) -> list[Row]:
    """Return what has no cost, by model and status, the most frequent first, with the newest call of each."""
    return reader.ask("unpriced_list", _over(period, tenant) | {"count": count}, {})


def margin_of_period(reader: Reader, period: Period, tenant: str | None) -> Row:
    """Return the sums of revenue, fee, cost and profit over the workflows whose revenue is known."""
    return reader.ask("margin_of_period", _over(period, tenant), {})[0]


def tenants_of_period(reader: Reader, period: Period, *, count: int) -> list[str]:
    """Return the names of tenants that paid for anything."""
    rows = reader.ask("tenants_of_period", {"since": period.since, "until": period.until, "count": count}, {})
    return [row["tenant_id"] for row in rows]


def place_after(row: Row, sort: Sort) -> Place:
    """Return where the page after this row begins."""
    key = {
        "started": row["started_at"],
        "cost": row["total_cost_usd"],
        "duration": None if row["ended_at"] is None else row["ended_at"] - row["started_at"],
    }[sort]
    return Place(key=key, trace_id=row["trace_id"], tenant=row["tenant_id"], namespace=row["namespace"])


def _of_caller(reader: Reader, wanted: WorkflowFilter) -> tuple[sql.Composable, dict[str, Any]]:
    """Return the condition that a user or an API key has a call in a workflow, with its parameters.

    The workflows of a rare name are looked up by its calls: nearly all others would have to be looked into before the
    last of them is found. Among those of a frequent name the newest are found soon.
    """
    if wanted.user is None and wanted.api_key is None:
        return sql.SQL("true"), {}
    has_call = sql.SQL(statement("workflows_of_caller"))
    found = reader.ask("traces_of_caller", wanted.parameters() | {"count": _LOOKED_UP_MAX}, {})
    if len(found) > _LOOKED_UP_MAX:
        return has_call, {}
    traces = {"traces": [row["trace_id"] for row in found]}
    return sql.SQL("trace_id = any(%(traces)s) and {}").format(has_call), traces


def _over(period: Period, tenant: str | None) -> dict[str, Any]:
    return {"since": period.since, "until": period.until, "tenant": tenant}


def _listing(wanted: WorkflowFilter, count: int | None, after: Place | None) -> dict[str, Any]:
    place: dict[str, Any] = {}
    if after is not None:
        place = {"after_key": after.key, "after_trace": after.trace_id}
        place |= {"after_tenant": after.tenant, "after_namespace": after.namespace}
    return wanted.parameters() | {"count": count} | place


def _order(sort: Sort, after: Place | None) -> dict[str, sql.Composable]:
    key, kind = sql.SQL(_KEY_BY_SORT[sort]), sql.SQL(_TYPE_BY_SORT[sort])
    seek = sql.SQL("true")
    if after is not None:
        # The first comparison repeats a part of the second, because an index can be entered by it.
        seek = sql.SQL(
            "{key} <= %(after_key)s::{kind} and ({key}, trace_id, tenant_id, namespace)"
            " < (%(after_key)s::{kind}, %(after_trace)s, %(after_tenant)s, %(after_namespace)s)"
        ).format(key=key, kind=kind)
    order = sql.SQL("{key} desc, trace_id desc, tenant_id desc, namespace desc").format(key=key)
    return {"seek": seek, "order": order}
