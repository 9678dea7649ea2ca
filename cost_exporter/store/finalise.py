"""Finalise workflows: after the idle time nothing more is expected, and what still comes is an amendment."""

from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from cost_exporter.domain.value import value
from cost_exporter.store.statements import statement

__all__ = ["FinalisedTrace", "finalise", "forget_empty_traces"]

_WITHOUT_ROOT_FACTOR: Final = 12
"""A root may be a long way off: a workflow without one is given this many idle times."""
_AT_ONCE: Final = 1000
_EMPTY_FOR: Final = timedelta(days=1)


@value
class FinalisedTrace:
    """A workflow that has just become final."""

    trace_id: str
    """32 hex digits."""
    namespace: str
    tenant: str
    record_count: int


def finalise(connection: psycopg.Connection[Any], *, idle: timedelta, now: datetime) -> list[FinalisedTrace]:
    """Finalise up to 1,000 workflows that were idle for long enough, and return them. Call again if it was as many."""
    parameters = {"now": now, "idle": idle, "idle_without_root": idle * _WITHOUT_ROOT_FACTOR, "count": _AT_ONCE}
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("finalise_traces"), parameters).fetchall()
    return [
        FinalisedTrace(
            trace_id=row["trace_id"].hex,
            namespace=row["namespace"],
            tenant=row["tenant_id"],
            record_count=row["record_count"],
        )
        for row in rows
    ]


def forget_empty_traces(connection: psycopg.Connection[Any], *, now: datetime) -> int:
    """Delete traces without any provider call that have been quiet for a day. Return how many, 1,000 at most."""
    with connection.transaction():
        parameters = {"before": now - _EMPTY_FOR, "count": _AT_ONCE}
        return connection.execute(statement("forget_empty_traces"), parameters).rowcount
