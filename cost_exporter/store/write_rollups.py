"""Move the sums of records by what a plan adds and takes away, after the records and in the same transaction.

The sums of a trace come first: whoever writes them holds the trace. Those that writers share come last, so that
they are held for the shortest time.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from cost_exporter.domain.rollup import NOTHING, DailyKey, Measures, WorkflowKey
from cost_exporter.store.codec.arrays import DateArray, Int8Array, TextArray, TimestampArray, UuidArray
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.write_set import TraceRow, WriteSet

__all__ = ["move_rollups"]

Cursor = psycopg.Cursor[tuple[Any, ...]]
Moves = Mapping[tuple[str, WorkflowKey], Measures]
_COUNTS: Final = frozenset({"request_count", "unpriced_count", "duplicate_count", "llm_calls"})


def move_rollups(cursor: Cursor, plan: WriteSet) -> None:
    """Move every sum that this plan changes."""
    workflow_moves, daily_moves = plan.moves()
    old_headers = [each for each in plan.headers if each.state.is_stored]
    _move_workflows(cursor, workflow_moves, only_new=not old_headers)
    if old_headers:
        _date_totals(cursor, old_headers)
    _move_totals(cursor, workflow_moves, plan.headers, only_new=not old_headers)
    _move_days(cursor, daily_moves)


def _move_workflows(cursor: Cursor, moves: Moves, *, only_new: bool) -> None:
    workflows = sorted(moves.items(), key=lambda item: (item[0][1][1], item[0][0], item[0][1]))
    if not workflows:
        return
    keys = [key for (_, key), _ in workflows]
    parameters = {
        "trace_id": UuidArray.of([key.trace_id for key in keys]),
        "namespace": TextArray.of([namespace for (namespace, _), _ in workflows]),
        "tenant_id": TextArray.of([key.tenant for key in keys]),
        "category": TextArray.of([key.category for key in keys]),
        "leg": TextArray.of([key.leg for key in keys]),
        **_measure_parameters([measures for _, measures in workflows]),
    }
    if not only_new:
        cursor.execute(statement("update_workflow_rollup"), parameters)
    cursor.execute(statement("add_workflow_rollup"), parameters)


def _date_totals(cursor: Cursor, headers: Sequence[TraceRow]) -> None:
    headers = sorted(headers, key=lambda header: header.state.key)
    parameters = {
        "trace_id": UuidArray.of([each.state.key[0] for each in headers]),
        "namespace": TextArray.of([each.state.key[1] for each in headers]),
        "started_at": TimestampArray.of_unix_us([_started_us(each) for each in headers]),
    }
    cursor.execute(statement("date_workflow_totals"), parameters)


def _move_totals(cursor: Cursor, moves: Moves, headers: Sequence[TraceRow], *, only_new: bool) -> None:
    totals = _totals(moves, headers)
    if not totals:
        return
    started_us = {each.state.key: _started_us(each) for each in headers}
    rows = sorted(totals.items())
    keys = [key for key, _ in rows]
    measures = [each for _, each in rows]
    parameters = {
        "trace_id": UuidArray.of([trace_id for trace_id, _, _ in keys]),
        "namespace": TextArray.of([namespace for _, namespace, _ in keys]),
        "tenant_id": TextArray.of([tenant for _, _, tenant in keys]),
        "started_at": TimestampArray.of_unix_us([started_us[trace_id, namespace] for trace_id, namespace, _ in keys]),
        "cost_usd": TextArray.of_distinct([str(each.cost_usd) for each in measures]),
        "request_count": Int8Array.of([each.request_count for each in measures]),
        "unpriced_count": Int8Array.of([each.unpriced_count for each in measures]),
        "duplicate_count": Int8Array.of([each.duplicate_count for each in measures]),
        "llm_calls": Int8Array.of([each.llm_calls for each in measures]),
        "total_tokens": TextArray.of([str(each.input_tokens + each.output_tokens) for each in measures]),
    }
    if not only_new:
        cursor.execute(statement("move_workflow_totals"), parameters)
    cursor.execute(statement("begin_workflow_totals"), parameters)


def _totals(moves: Moves, headers: Sequence[TraceRow]) -> dict[tuple[bytes, str, str], Measures]:
    """Return by how much the total of each workflow moves, by trace id, namespace and tenant.

    A workflow that has a name or revenue has a row of its own tenant, even if that makes no call.
    """
    totals: dict[tuple[bytes, str, str], Measures] = {}
    for (namespace, key), measures in moves.items():
        total_key = key.trace_id, namespace, key.tenant
        known = totals.get(total_key)
        totals[total_key] = measures if known is None else known.plus(measures)
    for header in headers:
        if _shows_itself(header):
            totals.setdefault((*header.state.key, header.tenant), NOTHING)
    return totals


def _shows_itself(header: TraceRow) -> bool:
    workflow = header.workflow
    return any(each is not None for each in (workflow.workflow_id, workflow.workflow_name, workflow.revenue_usd))


def _started_us(header: TraceRow) -> int | None:
    return None if header.started_at_unix_ns is None else header.started_at_unix_ns // 1000


def _move_days(cursor: Cursor, moves: Mapping[DailyKey, Measures]) -> None:
    days = sorted(moves.items())
    if not days:
        return
    cursor.execute(
        statement("move_daily_rollup"),
        {
            "tenant_id": TextArray.of([key.tenant for key, _ in days]),
            "day": DateArray.of_unix_days([key.day for key, _ in days]),
            "category": TextArray.of([key.category for key, _ in days]),
            "provider": TextArray.of([key.provider for key, _ in days]),
            "model": TextArray.of([key.model for key, _ in days]),
            "operation": TextArray.of([key.operation for key, _ in days]),
            **_measure_parameters([measures for _, measures in days]),
        },
    )


def _measure_parameters(rows: Sequence[Measures]) -> dict[str, Any]:
    columns = zip(Measures._fields, zip(*rows, strict=True), strict=True)
    return {
        name: Int8Array.of(column) if name in _COUNTS else TextArray.of([str(each) for each in column])
        for name, column in columns
    }
