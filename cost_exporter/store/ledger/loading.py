"""Load what is stored of traces that are locked: their records, and what the index of long traces holds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.span import Link, SpanKey
from cost_exporter.errors import StoreFault
from cost_exporter.store.codec.arrays import DateArray, Int8Array, TextArray, UuidArray
from cost_exporter.store.codec.fact_json import attribution_from
from cost_exporter.store.codec.link_bytes import PackedLinks, root_from, unpack_links
from cost_exporter.store.codec.rate_numbers import UnknownRate
from cost_exporter.store.codec.record_columns import record_from_row
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.rates import rates_of, read_numbers
from cost_exporter.store.ledger.trace_state import LongTrace, RootSpan, TraceKey, TraceState, shared_keys_from

__all__ = [
    "Cursor",
    "Spans",
    "key_arrays",
    "load_long_spans",
    "load_records",
    "load_records_of_spans",
    "load_whole",
    "root_of",
    "span_arrays",
    "state_from",
    "take_index_rows",
]

Cursor = psycopg.Cursor[dict[str, Any]]
Spans = Iterable[tuple[TraceState, bytes]]
"""Spans of long traces by their ids."""


def state_from(row: Mapping[str, Any]) -> TraceState:
    """Return a trace as its row says."""
    packed = PackedLinks(links=row["links"], attributions=row["attributions"], roots=row["roots"])
    is_long = row["number"] is not None and not row["is_purged"]
    return TraceState(
        key=(row["trace_id"], row["namespace"]),
        bucket_day=row["bucket_day"],
        is_stored=True,
        is_purged=row["is_purged"],
        is_joined=row["is_joined"],
        is_finalised=row["is_finalised"],
        is_tenant_trusted=row["is_tenant_trusted"],
        last_received_at_us=row["last_received_at_us"],
        stored_record_count=0 if row["is_purged"] else row["record_count"],
        links=unpack_links(row["trace_id"], packed),
        shared_keys=shared_keys_from(row["shared_keys"]),
        long=_long_from(row) if is_long else None,
    )


def _long_from(row: Mapping[str, Any]) -> LongTrace:
    return LongTrace(
        number=row["number"],
        words=attribution_from(json.loads(row["words"])),
        has_gateway=row["has_gateway"],
        was_tenant_trusted=row["is_tenant_trusted"],
        started_at_unix_ns=None if row["started_us"] is None else row["started_us"] * 1000,
        ended_at_unix_ns=None if row["ended_us"] is None else row["ended_us"] * 1000,
    )


def load_records(cursor: Cursor, states: Sequence[TraceState]) -> None:
    """Load all records of these traces."""
    if not states:
        return
    parameters = {
        **key_arrays([state.key for state in states]),
        "bucket": DateArray.of_unix_days([state.bucket_day for state in states]),
    }
    _take_records(cursor.execute(statement("load_records"), parameters), states)


def load_records_of_spans(cursor: Cursor, spans: Spans) -> None:
    """Load the records of some spans."""
    wanted = sorted(spans, key=lambda each: (each[0].key, each[1]))
    if not wanted:
        return
    parameters = {
        **key_arrays([state.key for state, _ in wanted]),
        "bucket": DateArray.of_unix_days([state.bucket_day for state, _ in wanted]),
        "span_id": Int8Array.of_ids([span_id for _, span_id in wanted]),
    }
    _take_records(cursor.execute(statement("load_records_of_spans"), parameters), [state for state, _ in wanted])


def load_long_spans(cursor: Cursor, spans: Spans) -> None:
    """Load what is stored of some spans of long traces, calls and links."""
    wanted = list(spans)
    if wanted:
        rows = cursor.execute(statement("long_spans"), span_arrays(wanted)).fetchall()
        load_records_of_spans(cursor, take_index_rows(rows, [state for state, _ in wanted]))


def load_whole(cursor: Cursor, states: Sequence[TraceState]) -> None:
    """Load the rest of long traces, but for what is loaded already, which may be newer."""
    numbers = {"number": Int8Array.of([state.long.number for state in states if state.long is not None])}
    take_index_rows(cursor.execute(statement("long_links"), numbers).fetchall(), states)
    load_records(cursor, states)
    for state in states:
        if state.long is not None:
            state.long.is_partial = False


def take_index_rows(rows: Iterable[Mapping[str, Any]], states: Iterable[TraceState]) -> list[tuple[TraceState, bytes]]:
    """Take the links among rows of the index, and return which calls are not loaded yet."""
    by_number = {state.long.number: state for state in states if state.long is not None}
    calls: list[tuple[TraceState, bytes]] = []
    for row in rows:
        state = by_number[row["number"]]
        key = state.key[0], row["span_id"]
        if not row["is_link"]:
            if key not in state.records:
                calls.append((state, row["span_id"]))
        elif key not in state.links:
            state.links[key] = _link_from(key, row)
    return calls


def root_of(row: Mapping[str, Any], trace_id: bytes) -> RootSpan:
    """Return the root that a row of the index is of."""
    return RootSpan(
        key=(trace_id, row["span_id"]),
        is_link=row["is_link"],
        words=attribution_from(json.loads(row["words"] or "{}")),
        root=root_from(json.loads(row["root"])),
    )


def span_arrays(spans: Spans) -> dict[str, Any]:
    """Return the numbers and span ids as parameters."""
    wanted = [(state.long.number, span_id) for state, span_id in spans if state.long is not None]
    return {
        "number": Int8Array.of([number for number, _ in wanted]),
        "span_id": Int8Array.of_ids([span_id for _, span_id in wanted]),
    }


def key_arrays(keys: Sequence[TraceKey]) -> dict[str, Any]:
    """Return the keys of traces as parameters."""
    return {
        "trace_id": UuidArray.of([trace_id for trace_id, _ in keys]),
        "namespace": TextArray.of([namespace for _, namespace in keys]),
    }


def _take_records(cursor: Cursor, states: Iterable[TraceState]) -> None:
    by_key = {state.key: state for state in states}
    for row in cursor.fetchall():
        state = by_key[row["trace_id"], row["namespace"]]
        key = row["trace_id"], row["span_id"]
        if key in state.records:
            continue
        record = state.records[key] = _record_of(row, cursor.connection)
        # What was merged meanwhile is newer.
        state.calls.setdefault(key, record.call)
        state.received_at_us[key] = row["received_at_us"]


def _record_of(row: Mapping[str, Any], connection: psycopg.Connection[Any]) -> CostRecord:
    numbers = rates_of(connection)
    try:
        return record_from_row(row, numbers)
    except UnknownRate:
        read_numbers(connection)
    try:
        return record_from_row(row, numbers)
    except UnknownRate as error:
        raise StoreFault(
            f"the database lacks rate {error}, which its records name; restore the table `rate`"
        ) from error


def _link_from(key: SpanKey, row: Mapping[str, Any]) -> Link:
    return Link(
        trace_id=key[0],
        span_id=key[1],
        parent_span_id=row["parent_span_id"],
        attribution=attribution_from(json.loads(row["words"] or "{}")),
        root=None if row["root"] is None else root_from(json.loads(row["root"])),
    )
