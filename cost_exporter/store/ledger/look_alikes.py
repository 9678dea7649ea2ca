"""Calls that are looked for in other traces by model, usage, service and time: as stored, and which traces they join.

Each is kept under one key per slot of time (`domain/settling/look_alike.py`). The key is a row of `provider_call` too,
which is locked before the calls under it are read: of two halves of one call that are stored at the same time, the
second one sees the first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from cost_exporter.domain.settling.look_alike import LookAlike, are_alike, crowded, look_alike
from cost_exporter.domain.span import Call
from cost_exporter.store.codec.arrays import BoolArray, DateArray, Int8Array, TextArray, UuidArray
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.trace_state import TraceKey

__all__ = ["Member", "alike_traces", "insert_members", "is_crowded", "member_of", "stored_members"]


class Member(NamedTuple):
    """One call under a key."""

    trace_key: TraceKey
    span_id: bytes
    call: LookAlike


def member_of(call: Call, namespace: str) -> Member:
    """Return a call as it is kept under its keys."""
    return Member((call.trace_id, namespace), call.span_id, look_alike(call))


def stored_members(cursor: psycopg.Cursor[dict[str, Any]], hashes: Sequence[int]) -> dict[int, list[Member]]:
    """Return the calls that are stored under these keys."""
    found: dict[int, list[Member]] = {}
    if not hashes:
        return found
    for row in cursor.execute(statement("look_alikes"), {"call_hash": Int8Array.of(hashes)}):
        call = LookAlike(
            scope=row["scope"],
            started_at_unix_ns=row["started_at_ns"],
            ended_at_unix_ns=row["ended_at_ns"],
            output_tokens=row["output_tokens"],
            call_id=row["call_id"],
            pairs_with_any=row["is_root"],
        )
        member = Member((row["trace_id"], row["namespace"]), row["span_id"], call)
        found.setdefault(row["call_hash"], []).append(member)
    return found


def is_crowded(members: Iterable[Member]) -> bool:
    """Return whether too many calls of one scope are alike here; the same span twice is one."""
    return crowded(scope for _, _, scope in {(each.trace_key, each.span_id, each.call.scope) for each in members})


def alike_traces(new: Sequence[Member], members: Sequence[Member]) -> Iterator[tuple[TraceKey, TraceKey]]:
    """Yield the pairs of traces in which one of the new calls may be one of all."""
    if len({each.call.scope for each in members}) > 1:
        for one in new:
            for other in members:
                if one.trace_key != other.trace_key and are_alike(one.call, other.call):
                    yield min(one.trace_key, other.trace_key), max(one.trace_key, other.trace_key)


def insert_members(
    cursor: psycopg.Cursor[tuple[Any, ...]],
    members: Mapping[int, Sequence[Member]],
    bucket_days: Mapping[TraceKey, int],
) -> None:
    """Keep the calls of the traces that are written, whose bucket days these are."""
    calls_by_row: dict[tuple[int, bytes, bytes, str, str], LookAlike] = {}
    for call_hash, some in members.items():
        for (trace_id, namespace), span_id, call in some:
            if (trace_id, namespace) in bucket_days:
                row = call_hash, trace_id, span_id, namespace, call.scope
                calls_by_row[row] = _either(calls_by_row.get(row, call), call)
    rows = sorted(calls_by_row.items(), key=lambda each: each[0])
    if not rows:
        return
    calls = [call for _, call in rows]
    parameters = {
        "call_hash": Int8Array.of([key[0] for key, _ in rows]),
        "namespace": TextArray.of([key[3] for key, _ in rows]),
        "trace_id": UuidArray.of([key[1] for key, _ in rows]),
        "span_id": Int8Array.of_ids([key[2] for key, _ in rows]),
        "bucket": DateArray.of_unix_days([bucket_days[key[1], key[3]] for key, _ in rows]),
        "scope": TextArray.of([call.scope for call in calls]),
        "started_at_ns": Int8Array.of([call.started_at_unix_ns for call in calls]),
        "ended_at_ns": Int8Array.of([call.ended_at_unix_ns for call in calls]),
        "output_tokens": Int8Array.of([call.output_tokens for call in calls]),
        "call_id": TextArray.of([call.call_id for call in calls]),
        "is_root": BoolArray.of([call.pairs_with_any for call in calls]),
    }
    cursor.execute(statement("insert_look_alikes"), parameters)


def _either(one: LookAlike, other: LookAlike) -> LookAlike:
    """Return what is looked for by either of two contents of one span."""
    return one._replace(
        started_at_unix_ns=min(one.started_at_unix_ns, other.started_at_unix_ns),
        ended_at_unix_ns=max(one.ended_at_unix_ns, other.ended_at_unix_ns),
        output_tokens=one.output_tokens if one.output_tokens == other.output_tokens else None,
        call_id=one.call_id if one.call_id == other.call_id else "",
        pairs_with_any=one.pairs_with_any or other.pairs_with_any,
    )
