"""Finalise workflows: after the idle time nothing more is expected, and what still comes is an amendment.

A workflow becomes final once, by one of the processes that finalise, whatever comes late: a caller that counts the
costs that this returns counts each workflow once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.store.database.statements import statement
from cost_exporter.store.outbox import insert_outgoing

__all__ = ["FinalCost", "FinalisedTrace", "finalise", "forget_empty_traces"]

_WITHOUT_ROOT_FACTOR: Final = 12
"""A root may be a long way off: a workflow without one is given this many idle times."""
_AT_ONCE: Final = 1000
Row = dict[str, Any]
_EMPTY_FOR: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalCost:
    """The total cost of the calls of one tenant, tier and task in a final workflow."""

    tenant: str
    tier: str | None
    task: str | None
    cost_usd: Decimal
    """The known part."""
    unpriced_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalisedTrace:
    """A workflow that has just become final."""

    trace_id: str
    """32 hex digits."""
    namespace: str
    tenant: str
    record_count: int
    """Provider calls, duplicates included."""
    root_span_id: str | None
    """16 hex digits; None where the root never came, or is a provider call itself."""
    ended_at: datetime | None
    total_cost_usd: Decimal
    """The known cost; all tenants of the trace together."""
    unpriced_count: int
    costs: tuple[FinalCost, ...]
    """The same, by tenant, tier and task."""


def finalise(
    connection: psycopg.Connection[Any],
    *,
    idle: timedelta,
    now: datetime,
    outgoing: Callable[[FinalisedTrace], OutgoingSpan] | None = None,
    is_for_posthog: bool = False,
) -> list[FinalisedTrace]:
    """Finalise up to 1,000 workflows that were idle for long enough, and return them. Call again if it was as many.

    `outgoing` makes the span that reports the total to a backend; it enters the outbox in the same transaction. So do
    the calls, where their events are for PostHog.
    """
    parameters = {"now": now, "idle": idle, "idle_without_root": idle * _WITHOUT_ROOT_FACTOR, "count": _AT_ONCE}
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("finalise_traces"), parameters).fetchall()
        costs = _costs(cursor, rows)
        final = [_finalised(row, costs.get((row["trace_id"], row["namespace"]), ())) for row in rows]
        if outgoing is not None:
            insert_outgoing(cursor, [(outgoing(each), b"") for each in final if each.record_count])
        if is_for_posthog and rows:
            keys = {name: [row[name] for row in rows] for name in ("trace_id", "namespace")}
            cursor.execute(statement("queue_final_calls"), keys)
    return final


def _costs(cursor: psycopg.Cursor[Row], final: Sequence[Row]) -> dict[tuple[UUID, str], tuple[FinalCost, ...]]:
    """Return what each of these traces cost, by trace id and namespace."""
    parameters = {name: [row[name] for row in final] for name in ("trace_id", "namespace")}
    costs: dict[tuple[UUID, str], tuple[FinalCost, ...]] = {}
    for row in cursor.execute(statement("cost_of_final"), parameters):
        key = (row["trace_id"], row["namespace"])
        costs[key] = (*costs.get(key, ()), _cost(row))
    return costs


def _cost(row: Row) -> FinalCost:
    return FinalCost(
        tenant=row["tenant_id"],
        tier=row["tier"],
        task=row["task"],
        cost_usd=row["cost_usd"],
        unpriced_count=row["unpriced_count"],
    )


def _finalised(row: Row, costs: tuple[FinalCost, ...]) -> FinalisedTrace:
    return FinalisedTrace(
        trace_id=row["trace_id"].hex,
        namespace=row["namespace"],
        tenant=row["tenant_id"],
        record_count=row["record_count"],
        root_span_id=row["root_span_id"],
        ended_at=row["ended_at"],
        total_cost_usd=row["total_cost_usd"],
        unpriced_count=row["unpriced_count"],
        costs=costs,
    )


def forget_empty_traces(connection: psycopg.Connection[Any], *, now: datetime) -> int:
    """Delete traces without any provider call that have been quiet for a day. Return how many, 1,000 at most."""
    with connection.transaction():
        parameters = {"before": now - _EMPTY_FOR, "count": _AT_ONCE}
        return connection.execute(statement("forget_empty_traces"), parameters).rowcount
