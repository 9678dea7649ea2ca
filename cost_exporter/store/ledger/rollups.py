"""Move the sums of records by what a write set adds and takes away, after the records and in the same transaction.

The sums of a trace come first: their writer holds the trace. Those that writers share come last, so that
they are held for the shortest time.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from cost_exporter.domain.rollup import NOTHING, DailyKey, HourlyKey, Measures, WorkflowKey, days_of
from cost_exporter.domain.spend import SpenderMeasures, SpendKey, spend_moves
from cost_exporter.store.codec.arrays import DateArray, Int8Array, TextArray, TimestampArray, UuidArray
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.write_set import TraceRow, WriteSet

__all__ = ["move_rollups"]

Cursor = psycopg.Cursor[tuple[Any, ...]]
Moves = Mapping[tuple[str, WorkflowKey], Measures]
_US_PER_HOUR: Final = 3_600_000_000
_MARKS_MAX: Final = 256
"""Of one transaction: services beyond are seen another time. Senders choose their names."""
_COUNTS: Final = frozenset({"request_count", "unpriced_count", "duplicate_count", "llm_calls"})


def move_rollups(cursor: Cursor, write_set: WriteSet) -> None:
    """Move every sum that this write set changes."""
    workflow_moves, hourly_moves = write_set.moves()
    old_rows = [each for each in write_set.trace_rows if each.state.is_stored]
    _move_workflows(cursor, workflow_moves, only_new=not old_rows)
    if old_rows:
        _date_totals(cursor, old_rows)
    _move_totals(cursor, workflow_moves, write_set.trace_rows, only_new=not old_rows)
    _move_days(cursor, days_of(hourly_moves))
    _move_hours(cursor, hourly_moves)
    records = [change.record for change in write_set.changes]
    before = [change.before for change in write_set.changes if change.before is not None]
    before += [change.record for change in write_set.removals]
    _move_spend(cursor, spend_moves(hourly_moves, records, before))
    _mark_spend(cursor, hourly_moves, write_set)


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


def _date_totals(cursor: Cursor, trace_rows: Sequence[TraceRow]) -> None:
    trace_rows = sorted(trace_rows, key=lambda row: row.state.key)
    parameters = {
        "trace_id": UuidArray.of([each.state.key[0] for each in trace_rows]),
        "namespace": TextArray.of([each.state.key[1] for each in trace_rows]),
        "started_at": TimestampArray.of_unix_us([_started_us(each) for each in trace_rows]),
        "ended_at": TimestampArray.of_unix_us([_ended_us(each) for each in trace_rows]),
    }
    cursor.execute(statement("date_workflow_totals"), parameters)


def _move_totals(cursor: Cursor, moves: Moves, trace_rows: Sequence[TraceRow], *, only_new: bool) -> None:
    totals = _totals(moves, trace_rows)
    if not totals:
        return
    started_us = {each.state.key: _started_us(each) for each in trace_rows}
    ended_us = {each.state.key: _ended_us(each) for each in trace_rows}
    rows = sorted(totals.items())
    keys = [key for key, _ in rows]
    measures = [each for _, each in rows]
    parameters = {
        "trace_id": UuidArray.of([trace_id for trace_id, _, _ in keys]),
        "namespace": TextArray.of([namespace for _, namespace, _ in keys]),
        "tenant_id": TextArray.of([tenant for _, _, tenant in keys]),
        "started_at": TimestampArray.of_unix_us([started_us.get((key[0], key[1])) for key in keys]),
        "ended_at": TimestampArray.of_unix_us([ended_us.get((key[0], key[1])) for key in keys]),
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


def _totals(moves: Moves, trace_rows: Sequence[TraceRow]) -> dict[tuple[bytes, str, str], Measures]:
    """Return by how much the total of each workflow moves, by trace id, namespace and tenant.

    A workflow that has a name or revenue has a row of its own tenant, even if that makes no call.
    """
    totals: dict[tuple[bytes, str, str], Measures] = {}
    for (namespace, key), measures in moves.items():
        total_key = key.trace_id, namespace, key.tenant
        known = totals.get(total_key)
        totals[total_key] = measures if known is None else known.plus(measures)
    for row in trace_rows:
        if _shows_itself(row):
            totals.setdefault((*row.state.key, row.tenant), NOTHING)
    return totals


def _shows_itself(row: TraceRow) -> bool:
    workflow = row.workflow
    return any(each is not None for each in (workflow.workflow_id, workflow.workflow_name, workflow.revenue_usd))


def _started_us(row: TraceRow) -> int | None:
    return None if row.started_at_unix_ns is None else row.started_at_unix_ns // 1000


def _ended_us(row: TraceRow) -> int | None:
    return None if row.ended_at_unix_ns is None else row.ended_at_unix_ns // 1000


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


def _move_hours(cursor: Cursor, moves: Mapping[HourlyKey, Measures]) -> None:
    hours = sorted(moves.items())
    if not hours:
        return
    cursor.execute(
        statement("move_hourly_rollup"),
        {
            "tenant_id": TextArray.of([key.tenant for key, _ in hours]),
            "hour": TimestampArray.of_unix_us([key.hour * _US_PER_HOUR for key, _ in hours]),
            "category": TextArray.of([key.category for key, _ in hours]),
            "provider": TextArray.of([key.provider for key, _ in hours]),
            "model": TextArray.of([key.model for key, _ in hours]),
            "operation": TextArray.of([key.operation for key, _ in hours]),
            "cost_usd": TextArray.of([str(measures.cost_usd) for _, measures in hours]),
            "request_count": Int8Array.of([measures.request_count for _, measures in hours]),
            "unpriced_count": Int8Array.of([measures.unpriced_count for _, measures in hours]),
            "total_tokens": TextArray.of([str(each.input_tokens + each.output_tokens) for _, each in hours]),
            "characters": TextArray.of([str(measures.characters) for _, measures in hours]),
            "audio_seconds": TextArray.of([str(measures.audio_seconds) for _, measures in hours]),
            "call_seconds": TextArray.of([str(measures.call_seconds) for _, measures in hours]),
        },
    )


def _move_spend(cursor: Cursor, moves: Mapping[SpendKey, SpenderMeasures]) -> None:
    spends = sorted(moves.items())
    if not spends:
        return
    cursor.execute(
        statement("move_spend_rollup"),
        {
            "tenant_id": TextArray.of([key.tenant for key, _ in spends]),
            "kind": TextArray.of([key.kind for key, _ in spends]),
            "grain": TextArray.of([key.grain for key, _ in spends]),
            "starts_at": TimestampArray.of_unix_us([key.hour * _US_PER_HOUR for key, _ in spends]),
            "value": TextArray.of_distinct([key.value for key, _ in spends]),
            **_measure_parameters([spend for _, spend in spends]),
        },
    )


def _mark_spend(cursor: Cursor, moves: Mapping[HourlyKey, Measures], write_set: WriteSet) -> None:
    """Record who spent, and by which services, for the judging of alerts after the commit."""
    marks: set[tuple[str, str | None]] = {(key.tenant, None) for key in moves}
    for change in write_set.changes:
        if change.before is None and change.record.call.service_name and len(marks) < _MARKS_MAX:
            marks.add((change.record.tenant, change.record.call.service_name))
    if marks:
        rows = sorted(marks, key=lambda mark: (mark[0], mark[1] or ""))
        parameters = {
            "tenant_id": TextArray.of([tenant for tenant, _ in rows]),
            "service_name": TextArray.of([service for _, service in rows]),
        }
        cursor.execute(statement("mark_spend"), parameters)


def _measure_parameters(rows: Sequence[Measures] | Sequence[SpenderMeasures]) -> dict[str, Any]:
    columns = zip(rows[0]._fields, zip(*rows, strict=True), strict=True)
    return {
        name: Int8Array.of(column) if name in _COUNTS else TextArray.of([str(each) for each in column])
        for name, column in columns
    }
