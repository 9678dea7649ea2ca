"""Lock the traces of a batch and load what is known of them.

Traces are locked in one order, and everything else that a transaction writes is locked after them, so that writers do
not wait for each other in a circle. Which traces belong together is only learned under lock; if that turns out to be
more than was locked, `lock_and_load` returns the others, and the transaction starts again with all of them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import dict_row

from cost_exporter.domain.facts import Facts
from cost_exporter.domain.settling.identity import call_key, key_name
from cost_exporter.domain.settling.look_alike import slot_keys
from cost_exporter.errors import StoreUnavailable
from cost_exporter.store.codec.arrays import Int8Array
from cost_exporter.store.database.locks import Lock
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.closings import NO_CLOSINGS, Closings
from cost_exporter.store.ledger.loading import key_arrays, load_records, load_whole, state_from
from cost_exporter.store.ledger.long_traces import load_for_merging
from cost_exporter.store.ledger.look_alikes import Member, alike_traces, is_crowded, member_of, stored_members
from cost_exporter.store.ledger.trace_state import TraceKey, TraceState

__all__ = [
    "JOINED_TRACES_MAX",
    "Join",
    "LockedTraces",
    "NamedCall",
    "call_hashes",
    "lock_and_load",
    "lock_stored",
    "span_ids_of",
    "trace_keys_of",
]

Connection = psycopg.Connection[tuple[Any, ...]]
JOINED_TRACES_MAX: Final = 4_096
"""More traces than these are not settled together, to bound the memory that one span may cost. A socket that was
opened outside of any span reports each minute in a trace of its own: 1,440 are a day of it."""

_ATTEMPTS_MAX: Final = 5


class Join(NamedTuple):
    """Two traces that are settled together, and by which key of `provider_call`."""

    one: TraceKey
    other: TraceKey
    call_hash: int


@dataclass(slots=True)
class NamedCall:
    """A provider call, a session, or a slot of time that calls alike share, and the traces of a batch that have it."""

    keys: list[TraceKey]
    members: list[Member] = field(default_factory=list[Member])
    """The calls alike, where that is what it is."""


@dataclass(slots=True)
class LockedTraces:
    """The traces of a batch under lock, and how they hang together."""

    states: dict[TraceKey, TraceState]
    first_traces: dict[int, TraceKey] = field(default_factory=dict[int, TraceKey])
    """Provider calls that were not seen before, with the trace they are first seen in."""
    joins: set[Join] = field(default_factory=set[Join])
    """Traces found to report the same call."""
    stored_joins: set[tuple[TraceKey, TraceKey]] = field(default_factory=set[tuple[TraceKey, TraceKey]])
    slots: set[int] = field(default_factory=set[int])
    """Those of the keys that are slots of time."""
    shared: set[int] = field(default_factory=set[int])
    """Keys that turned out to be shared by too many calls."""
    members: dict[int, list[Member]] = field(default_factory=dict[int, list[Member]])
    """Calls that are looked for in other traces, by their keys."""
    closings: Closings = NO_CLOSINGS
    """The closed periods, which stay as they are until the end of the transaction."""

    def components(self) -> list[list[TraceState]]:
        """Return the traces that are settled together, each component in the order of its keys."""
        if not self.joins and not self.stored_joins:
            return [[state] for state in self.states.values()]
        neighbours = _neighbours({(join.one, join.other) for join in self.joins} | self.stored_joins)
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


def span_ids_of(batches: Iterable[Facts]) -> dict[TraceKey, set[bytes]]:
    """Return the ids of the spans of a batch, by trace."""
    found: dict[TraceKey, set[bytes]] = {}
    for batch in batches:
        for spans in (batch.calls, batch.links):
            for each in spans:
                found.setdefault((each.trace_id, batch.namespace), set()).add(each.span_id)
    return found


def call_hashes(batches: Iterable[Facts]) -> dict[int, NamedCall]:
    """Return what a batch names under each key, its traces in order."""
    found: dict[int, NamedCall] = {}
    for batch in batches:
        namespace = batch.namespace
        for call in batch.calls:
            key = call.trace_id, namespace
            name = key_name(call)
            if name:
                _add(found, call_key(namespace, name), key)
            for call_hash in slot_keys(namespace, call):
                _add(found, call_hash, key).members.append(member_of(call, namespace))
    for named in found.values():
        named.keys.sort()
    return found


def _add(found: dict[int, NamedCall], call_hash: int, key: TraceKey) -> NamedCall:
    named = found.setdefault(call_hash, NamedCall([key]))
    if key not in named.keys:
        named.keys.append(key)
    return named


def lock_and_load(
    connection: Connection,
    keys: set[TraceKey],
    hashes: Mapping[int, NamedCall],
    bucket_day: int,
    spans: Mapping[TraceKey, set[bytes]] | None = None,
) -> LockedTraces | set[TraceKey]:
    """Lock `keys` and return what is known of them; or the traces that belong to them and have to be locked as well.

    Of long traces only these spans are loaded, where any are given; `complete` loads what belongs to them.
    """
    ordered = sorted(keys)
    with (
        connection.cursor(row_factory=dict_row, binary=True) as periods,
        connection.cursor(row_factory=dict_row, binary=True) as cursor,
    ):
        with connection.pipeline():
            periods.execute(statement("closings_for_writing"), {"lock": int(Lock.PERIODS)})
            cursor.execute(statement("lock_traces"), key_arrays(ordered))
            rows = cursor.fetchall()
            cursor.execute(statement("homes_of_calls"), {"call_hash": Int8Array.of(sorted(hashes))})
            first_traces = {row["call_hash"]: row for row in cursor.fetchall()}
            alike = sorted(call_hash for call_hash, named in hashes.items() if named.members)
            if alike:
                cursor.execute(statement("lock_look_alikes"), {"call_hash": Int8Array.of(alike)})
                first_traces |= {row["call_hash"]: row for row in cursor.fetchall()}
        states = {key: TraceState(key=key, bucket_day=bucket_day) for key in ordered}
        for row in rows:
            state = state_from(row)
            states[state.key] = state
        locked = LockedTraces(states=states, closings=Closings(periods.fetchall()), slots=set(alike))
        missing = _join(cursor, locked, hashes, first_traces)
        if missing:
            return missing
        _load(cursor, locked, spans)
    return locked


def lock_stored(connection: Connection, keys: Iterable[TraceKey], let_go: Callable[[], object]) -> LockedTraces:
    """Lock and load stored traces with all that belong to them. `let_go` frees the locks before a further attempt.

    Raises `StoreUnavailable` where others keep joining them with more.
    """
    wanted = set(keys)
    for _ in range(_ATTEMPTS_MAX):
        known = lock_and_load(connection, wanted, {}, 0)
        if isinstance(known, LockedTraces):
            return known
        let_go()
        wanted |= known
    raise StoreUnavailable("the traces keep changing; try again")


def _load(
    cursor: psycopg.Cursor[dict[str, Any]], locked: LockedTraces, spans: Mapping[TraceKey, set[bytes]] | None
) -> None:
    states = [state for state in locked.states.values() if not state.is_purged]
    load_records(cursor, [state for state in states if state.long is None and state.stored_record_count])
    long_states = [state for state in states if state.long is not None]
    # What shares calls with other traces is settled as a whole: which of its calls these touch is not indexed.
    whole = [state for state in long_states if spans is None or state.is_joined]
    if whole:
        load_whole(cursor, whole)
    load_for_merging(
        cursor, [(state, spans.get(state.key, set())) for state in long_states if state.partial] if spans else []
    )


def _join(
    cursor: psycopg.Cursor[dict[str, Any]],
    locked: LockedTraces,
    hashes: Mapping[int, NamedCall],
    first_traces: Mapping[int, Mapping[str, Any]],
) -> set[TraceKey]:
    """Find out which traces hang together; return those that are not under lock yet."""
    wanted = _join_by_keys(cursor, locked, hashes, first_traces)
    asked = wanted | {key for join in locked.joins for key in (join.one, join.other)}
    asked |= {state.key for state in locked.states.values() if state.is_joined}
    if not asked:
        return set()
    rows = cursor.execute(statement("joined_traces"), key_arrays(sorted(asked))).fetchall()
    locked.stored_joins = {
        ((row["trace_id"], row["namespace"]), (row["other_trace_id"], row["namespace"])) for row in rows
    }
    _refuse_crowds(locked)
    wanted |= {key for join in locked.joins for key in (join.one, join.other)}
    wanted |= {key for pair in locked.stored_joins for key in pair}
    return wanted - locked.states.keys()


def _join_by_keys(
    cursor: psycopg.Cursor[dict[str, Any]],
    locked: LockedTraces,
    hashes: Mapping[int, NamedCall],
    first_traces: Mapping[int, Mapping[str, Any]],
) -> set[TraceKey]:
    """Join the traces that have a key in common. Return the traces that have one which is now shared by too many."""
    unshared: dict[int, NamedCall] = {}
    for call_hash, named in hashes.items():
        first_trace = first_traces.get(call_hash)
        if first_trace is not None and first_trace["is_shared"]:
            _share(locked, call_hash, named.keys)
            continue
        first = named.keys[0] if first_trace is None else (first_trace["trace_id"], named.keys[0][1])
        if first_trace is None:
            locked.first_traces[call_hash] = first
        if named.members:
            unshared[call_hash] = named
        else:
            locked.joins |= {Join(key, first, call_hash) for key in named.keys if key != first}
    crowded: set[TraceKey] = set()
    stored = stored_members(cursor, sorted(unshared.keys() - locked.first_traces.keys()))
    for call_hash, named in unshared.items():
        members = [*stored.get(call_hash, ()), *named.members]
        if is_crowded(members):
            locked.shared.add(call_hash)
            traces = {member.trace_key for member in members}
            _share(locked, call_hash, traces)
            crowded |= traces
        else:
            locked.members[call_hash] = named.members
            locked.joins |= {Join(one, other, call_hash) for one, other in alike_traces(named.members, members)}
    return crowded


def _share(locked: LockedTraces, call_hash: int, keys: Iterable[TraceKey]) -> None:
    for key in keys:
        if key in locked.states:
            locked.states[key].share({call_hash})


def _refuse_crowds(locked: LockedTraces) -> None:
    """Leave out new joins that would make a component larger than allowed; its traces then stand alone."""
    leader: dict[TraceKey, TraceKey] = {}
    sizes: dict[TraceKey, int] = {}

    def found(key: TraceKey) -> TraceKey:
        while leader.setdefault(key, key) != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    def join(one: TraceKey, other: TraceKey, size_max: float) -> bool:
        mine, theirs = found(one), found(other)
        size = sizes.get(mine, 1) + sizes.get(theirs, 1)
        if mine != theirs and size <= size_max:
            leader[theirs], sizes[mine] = mine, size
        return mine == theirs or size <= size_max

    for one, other in locked.stored_joins:
        join(one, other, float("inf"))
    locked.joins = {each for each in sorted(locked.joins) if join(each.one, each.other, JOINED_TRACES_MAX)}
    for key in {key for each in locked.joins for key in (each.one, each.other)}:
        if key in locked.states and not locked.states[key].is_joined:
            locked.states[key].is_joined = locked.states[key].has_new_keys = True


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
