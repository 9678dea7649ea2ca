"""Lock the traces of a batch and load what is known of them.

Traces are locked in one order, and everything else that a transaction writes is locked after them: so no two
writers can wait for each other. Which traces belong together is only learned under lock; if that turns out to
be more than was locked, `NeedsMore` says which, and the transaction starts again with all of them.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import dict_row

from cost_exporter.domain.facts import Facts
from cost_exporter.domain.same_call import is_unique
from cost_exporter.domain.span import Call
from cost_exporter.store.arrays import DateArray, Int8Array, TextArray, UuidArray
from cost_exporter.store.link_bytes import PackedLinks, unpack_links
from cost_exporter.store.record_columns import record_from_row
from cost_exporter.store.statements import statement
from cost_exporter.store.trace_state import TraceKey, TraceState

__all__ = [
    "JOINED_TRACES_MAX",
    "SESSION_TRACES_MAX",
    "Known",
    "NamedCall",
    "NeedsMore",
    "call_hashes",
    "load_known",
    "trace_keys_of",
]

Connection = psycopg.Connection[tuple[Any, ...]]
JOINED_TRACES_MAX: Final = 32
"""More traces than these are not settled together: some emitter gives all its calls one id."""
SESSION_TRACES_MAX: Final = 1_440
"""A socket that was opened outside of any span reports each minute in a trace of its own: this is a day of it. The
vendor's total at its close is only right where all deltas are known together."""


class NamedCall(NamedTuple):
    """A provider call, or a session, that has a name of its own, and the traces of a batch that tell of it."""

    keys: list[TraceKey]
    is_session: bool


class NeedsMore(Exception):
    """These traces have to be locked as well."""

    def __init__(self, keys: set[TraceKey]) -> None:
        super().__init__(f"{len(keys)} more traces")
        self.keys = keys


@dataclass(slots=True)
class Known:
    """The traces of a batch under lock, and how they hang together."""

    states: dict[TraceKey, TraceState]
    new_homes: dict[int, TraceKey] = field(default_factory=dict[int, TraceKey])
    """Provider calls that were not seen before, with the trace they are first seen in."""
    joins: set[tuple[TraceKey, TraceKey]] = field(default_factory=set[tuple[TraceKey, TraceKey]])
    """Pairs of traces found to tell of the same call, in both directions."""
    session_joins: set[tuple[TraceKey, TraceKey]] = field(default_factory=set[tuple[TraceKey, TraceKey]])
    """Those of them that share a session."""
    stored_joins: set[tuple[TraceKey, TraceKey]] = field(default_factory=set[tuple[TraceKey, TraceKey]])

    def components(self) -> list[list[TraceState]]:
        """Return the traces that are settled together, each component in the order of its keys."""
        if not self.joins and not self.stored_joins:
            return [[state] for state in self.states.values()]
        neighbours = _neighbours(self.joins | self.stored_joins)
        found: list[list[TraceState]] = []
        seen: set[TraceKey] = set()
        for key in self.states:
            if key not in seen:
                component = _reached(key, neighbours)
                seen |= component
                found.append([self.states[each] for each in sorted(component) if each in self.states])
        return found


def trace_keys_of(batches: Iterable[Facts]) -> set[TraceKey]:
    """Return the traces that a batch touches."""
    return {
        (each.trace_id, batch.namespace) for batch in batches for spans in (batch.calls, batch.links) for each in spans
    }


def call_hashes(batches: Iterable[Facts]) -> dict[int, NamedCall]:
    """Return each named call or session of a batch by its hash, its traces in order."""
    found: dict[int, NamedCall] = {}
    for batch in batches:
        namespace = batch.namespace
        for call in batch.calls:
            name = _name_of(call)
            if name:
                key = call.trace_id, namespace
                named = found.setdefault(_hash(namespace, name), NamedCall([key], name.startswith(_SESSION)))
                if key not in named.keys:
                    named.keys.append(key)
    for named in found.values():
        named.keys.sort()
    return found


def load_known(connection: Connection, keys: set[TraceKey], hashes: Mapping[int, NamedCall], bucket_day: int) -> Known:
    """Lock `keys` and return what is known of them. Raises `NeedsMore` where other traces belong to them."""
    ordered = sorted(keys)
    with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        with connection.pipeline():
            cursor.execute(statement("lock_traces"), _key_arrays(ordered))
            rows = cursor.fetchall()
            cursor.execute(statement("homes_of_calls"), {"call_hash": Int8Array.of(sorted(hashes))})
            homes = {row["call_hash"]: row["trace_id"] for row in cursor.fetchall()}
        states = {key: TraceState(key=key, bucket_day=bucket_day) for key in ordered}
        for row in rows:
            state = _state_from(row)
            states[state.key] = state
        known = Known(states=states)
        _join(cursor, known, hashes, homes)
        _load_records(cursor, [state for state in states.values() if state.stored_record_count])
    return known


def _join(
    cursor: psycopg.Cursor[dict[str, Any]],
    known: Known,
    hashes: Mapping[int, NamedCall],
    homes: Mapping[int, bytes],
) -> None:
    """Find out which traces hang together; raise `NeedsMore` for those that are not under lock yet."""
    for call_hash, (keys, is_session) in hashes.items():
        home_id = homes.get(call_hash)
        home = keys[0] if home_id is None else (home_id, keys[0][1])
        if home_id is None:
            known.new_homes[call_hash] = home
        for key in keys:
            if key != home:
                known.joins |= {(key, home), (home, key)}
                if is_session:
                    known.session_joins |= {(key, home), (home, key)}
    asked = {key for pair in known.joins for key in pair}
    asked |= {state.key for state in known.states.values() if state.is_joined}
    if not asked:
        return
    rows = cursor.execute(statement("joined_traces"), _key_arrays(sorted(asked))).fetchall()
    known.stored_joins = {
        ((row["trace_id"], row["namespace"]), (row["other_trace_id"], row["namespace"])) for row in rows
    }
    _refuse_crowds(known)
    wanted = {key for pair in known.joins | known.stored_joins for key in pair}
    if not wanted <= known.states.keys():
        raise NeedsMore(wanted - known.states.keys())


def _refuse_crowds(known: Known) -> None:
    """Leave out new joins that would make a component larger than allowed; its traces then stand alone."""
    together: dict[TraceKey, set[TraceKey]] = {}
    neighbours = _neighbours(known.stored_joins)
    for key in neighbours:
        if key not in together:
            component = _reached(key, neighbours)
            together |= dict.fromkeys(component, component)
    kept: set[tuple[TraceKey, TraceKey]] = set()
    for one, other in sorted(known.joins):
        if one > other:
            continue
        joined = together.get(one, {one}) | together.get(other, {other})
        is_session = (one, other) in known.session_joins
        if len(joined) <= (SESSION_TRACES_MAX if is_session else JOINED_TRACES_MAX):
            kept |= {(one, other), (other, one)}
            together |= dict.fromkeys(joined, joined)
    known.joins = kept
    for one, _ in kept:
        if one in known.states and not known.states[one].is_joined:
            known.states[one].is_joined = known.states[one].has_new_joins = True


def _load_records(cursor: psycopg.Cursor[dict[str, Any]], states: Sequence[TraceState]) -> None:
    if not states:
        return
    by_key = {state.key: state for state in states}
    parameters = {
        **_key_arrays([state.key for state in states]),
        "bucket": DateArray.of_unix_days([state.bucket_day for state in states]),
    }
    for row in cursor.execute(statement("load_records"), parameters):
        state = by_key[row["trace_id"], row["namespace"]]
        record = record_from_row(row)
        key = row["trace_id"], row["span_id"]
        state.records[key] = record
        state.calls[key] = record.call
        state.received_at_us[key] = row["received_at_us"]


def _state_from(row: Mapping[str, Any]) -> TraceState:
    packed = PackedLinks(links=row["links"], attributions=row["attributions"], roots=row["roots"])
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
    )


def _key_arrays(keys: Sequence[TraceKey]) -> dict[str, Any]:
    return {
        "trace_id": UuidArray.of([trace_id for trace_id, _ in keys]),
        "namespace": TextArray.of([namespace for _, namespace in keys]),
    }


_SESSION: Final = "session:"


def _name_of(call: Call) -> str:
    """Return which session the call belongs to, else who it is; "" where neither is known."""
    if call.session_id and call.session_sequence is not None:
        return f"{_SESSION}{call.session_id}"
    return f"call:{call.call_id}" if is_unique(call.call_id) else ""


def _hash(namespace: str, name: str) -> int:
    digest = hashlib.blake2b(f"{namespace}\x1f{name}".encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _neighbours(joins: Iterable[tuple[TraceKey, TraceKey]]) -> dict[TraceKey, set[TraceKey]]:
    found: dict[TraceKey, set[TraceKey]] = {}
    for one, other in joins:
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return found


def _reached(start: TraceKey, neighbours: Mapping[TraceKey, set[TraceKey]]) -> set[TraceKey]:
    reached: set[TraceKey] = set()
    waiting = [start]
    while waiting:
        key = waiting.pop()
        if key not in reached:
            reached.add(key)
            waiting += neighbours.get(key, ())
    return reached
