"""Write a write set: one statement per table, pipelined, inside the caller's transaction.

The order is that of the locks: traces, provider calls, records, then the rollups, the shared days last, so that
they are held for the shortest time.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import psycopg

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.facts import DeadLetter, Facts, OutgoingSpan
from cost_exporter.store.codec.arrays import (
    BoolArray,
    ByteaArray,
    DateArray,
    Int8Array,
    TextArray,
    TimestampArray,
    UuidArray,
)
from cost_exporter.store.codec.link_bytes import NO_LINKS, PackedLinks, pack_links
from cost_exporter.store.codec.rate_numbers import RateNumbers
from cost_exporter.store.codec.record_columns import record_parameters
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.arrivals import write_arrivals
from cost_exporter.store.ledger.journal import write_journal
from cost_exporter.store.ledger.locked_traces import Join, LockedTraces
from cost_exporter.store.ledger.long_index import keep_headers, packed_root
from cost_exporter.store.ledger.look_alikes import insert_members
from cost_exporter.store.ledger.rates import rates_of
from cost_exporter.store.ledger.rollups import move_rollups
from cost_exporter.store.ledger.trace_state import TraceKey, TraceState
from cost_exporter.store.ledger.write_set import RecordChange, TraceRow, WriteSet
from cost_exporter.store.outbox import insert_outgoing

__all__ = ["Enrich", "OvertakenError", "write_all", "write_letters"]

Cursor = psycopg.Cursor[tuple[Any, ...]]
Enrich = Callable[[CostRecord], bytes]
"""Returns the bytes to append to a forwarded span, now that its cost is known."""
_PAYLOAD_BYTES_MAX: Final = 65_536
_DETAIL_LENGTH_MAX: Final = 500


class OvertakenError(Exception):
    """Another writer made a trace, or saw a provider call, between our look and our write. Start again."""


def write_all(
    connection: psycopg.Connection[Any], write_set: WriteSet, locked: LockedTraces, enrich: Enrich | None
) -> None:
    """Write a plan within the transaction of `connection`. Raises `OvertakenError`."""
    new_traces = sorted((each for each in write_set.trace_rows if not each.state.is_stored), key=_trace_row_key)
    old_traces = sorted((each for each in write_set.trace_rows if each.state.is_stored), key=_trace_row_key)
    new_changes = sorted((each for each in write_set.changes if each.before is None), key=_change_key)
    old_changes = sorted((each for each in write_set.changes if each.before is not None), key=_change_key)
    # A name of a call is remembered only with a trace that was written.
    written = {each.state.key: each.state.bucket_day for each in write_set.trace_rows}
    first_traces = {call_hash: key for call_hash, key in locked.first_traces.items() if key in written}
    shared = locked.shared | write_set.shared_keys
    joins = sorted(join for join in locked.joins if join.call_hash not in shared)
    with (
        connection.pipeline(),
        connection.cursor() as traces,
        connection.cursor() as rest,
    ):
        if new_traces:
            traces.execute(statement("insert_traces"), _trace_parameters(new_traces))
        if old_traces:
            rest.execute(statement("update_traces"), _trace_parameters(old_traces))
        if first_traces:
            rest.execute(statement("insert_provider_calls"), _first_trace_parameters(first_traces, locked))
        if shared:
            _share_keys(rest, sorted(shared), write_set.trace_rows)
        if joins:
            rest.execute(statement("insert_trace_joins"), _join_parameters(joins))
        insert_members(rest, locked.members, written)
        if new_changes:
            rest.execute(statement("insert_records"), _record_parameters(new_changes, rates_of(connection)))
        if old_changes:
            rest.execute(statement("update_records"), _record_parameters(old_changes, rates_of(connection)))
        _remove_records(rest, write_set.removals)
        keep_headers(rest, [each.state for each in old_traces], write_set.unindexed)
        write_journal(rest, write_set, locked.closings)
        _count_producers(rest, new_changes)
        if enrich is not None:
            insert_outgoing(rest, _outgoing(write_set, new_changes, enrich))
        write_arrivals(rest, write_set)
        move_rollups(rest, write_set)
    if new_traces and traces.rowcount != len(new_traces):
        raise OvertakenError


def write_letters(connection: psycopg.Connection[Any], letters: Sequence[tuple[Facts, DeadLetter]]) -> None:
    """Keep dead letters, each with the request that it came in. The same letter within one batch is kept once."""
    rows = {(_digest(letter), request.namespace): (request, letter) for request, letter in letters}
    if not rows:
        return
    requests, content = [request for request, _ in rows.values()], [letter for _, letter in rows.values()]
    connection.execute(
        statement("insert_dead_letters"),
        {
            "is_tenant_trusted": BoolArray.of([each.tenant_is_trusted for each in requests]),
            "received_at": TimestampArray.of_unix_us([each.received_at_unix_ns // 1000 for each in requests]),
            "namespace": TextArray.of([each.namespace for each in requests]),
            "reason": TextArray.of([letter.reason for letter in content]),
            "detail": TextArray.of([_clean(letter.detail) for letter in content]),
            "trace_id": TextArray.of([letter.trace_id.hex() for letter in content]),
            "span_id": TextArray.of([letter.span_id.hex() for letter in content]),
            "payload": ByteaArray.of([_payload(letter) for letter in content]),
            "payload_kind": TextArray.of([_payload_kind(letter) for letter in content]),
            "digest": ByteaArray.of([digest for digest, _ in rows]),
        },
    )


# ------------------------------------------------------------------------------------------------ one table each


def _trace_parameters(trace_rows: Sequence[TraceRow]) -> dict[str, Any]:
    states = [each.state for each in trace_rows]
    packed = [_packed_links(state) if state.has_new_links else NO_LINKS for state in states]
    workflows = [each.workflow for each in trace_rows]
    return {
        "trace_id": UuidArray.of([state.key[0] for state in states]),
        "namespace": TextArray.of([state.key[1] for state in states]),
        "bucket": DateArray.of_unix_days([state.bucket_day for state in states]),
        "has_new_links": BoolArray.of([state.has_new_links for state in states]),
        "is_tenant_trusted": BoolArray.of([state.is_tenant_trusted for state in states]),
        "is_joined": BoolArray.of([state.is_joined for state in states]),
        "tenant_id": TextArray.of([each.tenant for each in trace_rows]),
        "state": TextArray.of([each.state for each in workflows]),
        "workflow_id": TextArray.of([each.workflow_id for each in workflows]),
        "workflow_name": TextArray.of([each.workflow_name for each in workflows]),
        "revenue_usd": TextArray.of([_money(each.revenue_usd) for each in workflows]),
        "started_at": TimestampArray.of_unix_us([_us(each.started_at_unix_ns) for each in trace_rows]),
        "ended_at": TimestampArray.of_unix_us([_us(each.ended_at_unix_ns) for each in trace_rows]),
        "record_count": Int8Array.of([each.record_count for each in trace_rows]),
        "last_received_at": TimestampArray.of_unix_us([state.last_received_at_us for state in states]),
        "links": ByteaArray.of([each.links for each in packed]),
        "attributions": TextArray.of([each.attributions for each in packed]),
        "roots": TextArray.of([each.roots for each in packed]),
        "shared_keys": ByteaArray.of([state.shared_key_bytes for state in states]),
    }


def _packed_links(state: TraceState) -> PackedLinks:
    return pack_links(state.links.values()) if state.long is None else packed_root(state)


def _record_parameters(changes: Sequence[RecordChange], numbers: RateNumbers) -> dict[str, Any]:
    return record_parameters(
        [change.record for change in changes],
        bucket_days=[change.bucket_day for change in changes],
        namespaces=[change.namespace for change in changes],
        received_at_us=[change.received_at_us for change in changes],
        numbers=numbers,
    )


def _first_trace_parameters(first_traces: Mapping[int, TraceKey], locked: LockedTraces) -> dict[str, Any]:
    ordered = sorted(first_traces.items())
    return {
        "call_hash": Int8Array.of([call_hash for call_hash, _ in ordered]),
        "trace_id": UuidArray.of([key[0] for _, key in ordered]),
        "bucket": DateArray.of_unix_days([locked.states[key].bucket_day for _, key in ordered]),
        # The key of a slot of time stays where it is locked.
        "is_movable": BoolArray.of([call_hash not in locked.slots for call_hash, _ in ordered]),
    }


def _remove_records(cursor: Cursor, removals: Sequence[RecordChange]) -> None:
    if not removals:
        return
    ordered = sorted(removals, key=_change_key)
    cursor.execute(
        statement("delete_records"),
        {
            "bucket": DateArray.of_unix_days([each.bucket_day for each in ordered]),
            "namespace": TextArray.of([each.namespace for each in ordered]),
            "trace_id": UuidArray.of([each.record.call.trace_id for each in ordered]),
            "span_id": Int8Array.of_ids([each.record.call.span_id for each in ordered]),
        },
    )


def _join_parameters(joins: Sequence[Join]) -> dict[str, Any]:
    pairs = sorted(
        (*pair, join.call_hash) for join in joins for pair in ((join.one, join.other), (join.other, join.one))
    )
    return {
        "namespace": TextArray.of([one[1] for one, _, _ in pairs]),
        "trace_id": UuidArray.of([one[0] for one, _, _ in pairs]),
        "other_trace_id": UuidArray.of([other[0] for _, other, _ in pairs]),
        "call_hash": Int8Array.of([call_hash for _, _, call_hash in pairs]),
    }


def _share_keys(cursor: Cursor, shared: Sequence[int], trace_rows: Sequence[TraceRow]) -> None:
    """Let these keys join no traces from now on, and part those that they joined: all of them are under lock."""
    keys = sorted(each.state.key for each in trace_rows)
    parameters = {
        "call_hash": Int8Array.of(shared),
        "trace_id": UuidArray.of([trace_id for trace_id, _ in keys]),
        "namespace": TextArray.of([namespace for _, namespace in keys]),
    }
    for name in ("share_provider_calls", "share_old_provider_calls", "part_traces", "forget_crowded_look_alikes"):
        cursor.execute(statement(name), parameters)


def _count_producers(cursor: Cursor, changes: Sequence[RecordChange]) -> None:
    """Count the new spans of each producer, so that holes in its numbers show."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for change in changes:
        call = change.record.call
        if call.producer_sequence is not None:
            key = change.namespace, call.producer_id
            highest, count = found.get(key, (0, 0))
            found[key] = max(highest, call.producer_sequence), count + 1
    if not found:
        return
    rows = sorted(found.items())
    cursor.execute(
        statement("count_producers"),
        {
            "namespace": TextArray.of([namespace for (namespace, _), _ in rows]),
            "producer_id": TextArray.of([producer_id for (_, producer_id), _ in rows]),
            "highest_sequence": Int8Array.of([highest for _, (highest, _) in rows]),
            "seen_count": Int8Array.of([count for _, (_, count) in rows]),
        },
    )


def _outgoing(write_set: WriteSet, changes: Sequence[RecordChange], enrich: Enrich) -> list[tuple[OutgoingSpan, bytes]]:
    """Return what is forwarded, and the cost of what has one. A later change sends no second version."""
    links = [(span, b"") for span in write_set.outgoing_links]
    return links + [(each.outgoing, enrich(each.record)) for each in changes if each.outgoing is not None]


# -------------------------------------------------------------------------------------------------- small ones


def _trace_row_key(trace_row: TraceRow) -> TraceKey:
    return trace_row.state.key


def _change_key(change: RecordChange) -> tuple[bytes, bytes, str]:
    return change.record.call.trace_id, change.record.call.span_id, change.namespace


def _us(unix_ns: int | None) -> int | None:
    return None if unix_ns is None else unix_ns // 1000


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _payload(letter: DeadLetter) -> bytes:
    return letter.payload if len(letter.payload) <= _PAYLOAD_BYTES_MAX else b""


def _payload_kind(letter: DeadLetter) -> str:
    if not _payload(letter):
        return "none"
    return "call" if letter.payload.startswith(b"{") else "otlp"


def _clean(text: str) -> str:
    """Return a detail as PostgreSQL can hold it."""
    kept = text.replace("\x00", "").encode(errors="replace").decode()
    return kept[:_DETAIL_LENGTH_MAX]


def _digest(letter: DeadLetter) -> bytes:
    parts = (
        letter.reason.encode(),
        letter.trace_id,
        letter.span_id,
        letter.payload or letter.detail.encode(errors="replace"),
    )
    return hashlib.blake2b(b"\x1f".join(base64.b16encode(part) for part in parts), digest_size=16).digest()
