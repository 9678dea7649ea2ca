"""The deep check of the ledger (`callfare verify --deep`): decide every stored call again and compare.

    in    the traces in the order of their ids, some at a time, and the price book of each version
    out   `DeepStep` by `DeepStep`: the place to go on from, what was checked, what differs

The views of `integrity_check` compare sums with records; this compares records with what they were made from. Each
trace is settled again from what its spans state, and priced again by the book version that its records name. Each
line must be its quantity times its price, each cost the sum of its lines, each call known under its id, each record of
a final workflow what its last posting in the journal states. Nothing is written, and nothing is kept beyond a step.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.money import CONTEXT, quantise_line, total
from cost_exporter.domain.quote import Line, Quote
from cost_exporter.domain.settling.identity import call_key, key_name
from cost_exporter.domain.settling.settle import Price
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.errors import StoreFault, StoreUnavailable
from cost_exporter.store.codec.arrays import Int8Array
from cost_exporter.store.database.statements import statement
from cost_exporter.store.differences import Difference, difference, place_of_line, span_key, text, trace_key
from cost_exporter.store.ledger import locked_traces
from cost_exporter.store.ledger.loading import key_arrays
from cost_exporter.store.ledger.locked_traces import LockedTraces, lock_stored
from cost_exporter.store.ledger.rates import read_numbers
from cost_exporter.store.ledger.trace_state import TraceKey, TraceState
from cost_exporter.store.ledger.write_set import (
    TraceRow,
    WriteSet,
    add_settled,
    quotes_by_usage,
    usage_key,
    usage_key_of,
)

__all__ = ["BEGINNING", "DeepStep", "Difference", "PriceOf", "deep_check"]

BEGINNING: Final = UUID(int=0)
"""The place before the first trace."""
_TRACES_AT_ONCE: Final = 200
_BILLED: Final = frozenset({"priced", "reported", "estimated", "partial"})
_QUOTED: Final = frozenset({"status", "cost_usd", "lines", "issues", "book_version"})
"""What a record takes over from its quote."""

PriceOf = Callable[[str], Price | None]
"""Returns the prices of a version of the book; None for one that this program cannot make again."""


@dataclass(slots=True, kw_only=True)
class DeepStep:
    """What was checked from one place to the next."""

    place: UUID = BEGINNING
    """The last trace that was checked: a check goes on after it."""
    traces: int = 0
    records: int = 0
    unknown_book_count: int = 0
    """Records of a version of the book that this program cannot make again: their lines are only multiplied out."""
    differences: list[Difference] = field(default_factory=list[Difference])

    def add(self, other: "DeepStep") -> None:
        """Add what another step checked; the place becomes its place."""
        self.place = other.place
        self.traces += other.traces
        self.records += other.records
        self.unknown_book_count += other.unknown_book_count
        self.differences += other.differences


def deep_check(
    connection: psycopg.Connection[Any], price_of: PriceOf, *, after: UUID = BEGINNING
) -> Iterator[DeepStep]:
    """Yield the steps of the check from a place on. Each locks its traces and lets go of them unchanged."""
    place = after
    try:
        read_numbers(connection, again=True)
    except ArithmeticError:
        step = DeepStep(place=after)
        step.differences.append(difference("rate", "*", {"table": "rate"}, "price_usd", "a number", "something else"))
        yield step
        return
    while keys := _next_traces(connection, place):
        place = UUID(bytes=keys[-1][0])
        step = _checked_apart(connection, keys, price_of)
        step.place = place
        yield step


def _checked_apart(connection: psycopg.Connection[Any], keys: Sequence[TraceKey], price_of: PriceOf) -> DeepStep:
    """Check some traces; where one of them cannot even be read, each by itself, and that one is named."""
    try:
        with connection.transaction(force_rollback=True):
            return _checked(connection, keys, price_of)
    except psycopg.OperationalError:
        raise
    except Exception as error:
        if isinstance(error, StoreUnavailable) and not isinstance(error, StoreFault):
            raise
        # Whatever is stored may be damaged in any way.
        if len(keys) > 1:
            step = DeepStep()
            for key in keys:
                step.add(_checked_apart(connection, [key], price_of))
            return step
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        unreadable = difference("unreadable", keys[0][1], trace_key(keys[0]), "content", "readable", problem)
        return DeepStep(traces=1, differences=[unreadable])


def _next_traces(connection: psycopg.Connection[Any], place: UUID) -> list[TraceKey]:
    with connection.transaction(), connection.cursor(row_factory=dict_row, binary=True) as cursor:
        rows = cursor.execute(statement("traces_after"), {"place": place, "count": _TRACES_AT_ONCE}).fetchall()
    keys = [(bytes(row["trace_id"]), str(row["namespace"])) for row in rows]
    if len(keys) == _TRACES_AT_ONCE:  # the last trace id may go on in another namespace: the next step has all of it
        keys = [key for key in keys if key[0] != keys[-1][0]] or keys
    return keys


def _checked(connection: psycopg.Connection[Any], keys: Sequence[TraceKey], price_of: PriceOf) -> DeepStep:
    step = DeepStep(traces=len(keys))
    connection.execute(statement("mark_before_locks"))
    locked = lock_stored(connection, keys, lambda: connection.execute(statement("roll_back_locks")))
    asked = set(keys)
    for component in locked.components():
        states = [state for state in component if state.is_stored and not state.is_purged]
        mine = [state for state in states if state.key in asked]
        if mine:
            step.differences += _settled_otherwise(connection, states, mine, price_of)
            step.differences += _unknown_calls(connection, component, mine, locked)
        for state in mine:
            step.records += len(state.records)
            for record in state.records.values():
                step.unknown_book_count += record.status != "duplicate" and price_of(record.book_version) is None
                step.differences += _wrong_lines(state, record)
    step.differences += _unlike_journal(connection, keys)
    return step


# ------------------------------------------------------------------------------------------- decided and priced again


def _settled_otherwise(
    connection: psycopg.Connection[Any], states: Sequence[TraceState], mine: Sequence[TraceState], price_of: PriceOf
) -> Iterator[Difference]:
    """Yield what these traces state otherwise than all traces of their component give."""
    stored = [record for state in states for record in state.records.values()]
    write_set = WriteSet()
    for state in states:
        state.has_changed = True  # so that the header of each is made as well
    add_settled(states, _repriced(stored, price_of), write_set)
    keys = {state.key for state in mine}
    unclear = _priced_by_several(stored)
    for change in write_set.changes:
        key, before = (change.record.call.trace_id, change.namespace), change.before
        if key in keys and before is not None:
            is_judged = price_of(before.book_version) is not None and usage_key_of(before) not in unclear
            yield from _unlike(change.namespace, before, change.record, is_judged=is_judged)
    for removal in write_set.removals:
        if (removal.record.call.trace_id, removal.namespace) in keys:
            key = span_key(removal.namespace, removal.record)
            yield difference("record", removal.record.tenant, key, "a record", None, "the span only frames calls")
    yield from _wrong_headers(connection, [each for each in write_set.trace_rows if each.state.key in keys])


def _repriced(stored: Sequence[CostRecord], price_of: PriceOf) -> Price:
    """Price each usage by the version of the book by which it was priced; keep the quote where that is unknown."""
    known = quotes_by_usage(stored)
    # The usage of a call that another span amended cannot be made again from its record.
    others = {record.book_version for record in stored if record.status != "duplicate"}

    def quote(usage: UsageRecord) -> Quote:
        before = known.get(usage_key(usage))
        versions = sorted(others) if before is None else [before.book_version]
        prices = [price for price in map(price_of, versions) if price is not None]
        if before is not None and not prices:
            return before
        return prices[0](usage) if prices else Quote(amount_usd=None, status="unpriced")

    return quote


def _priced_by_several(stored: Iterable[CostRecord]) -> set[object]:
    """Return the usage that several versions of the book priced: of a long trace ingest loads only a part.

    Which record has which quote does not follow from anything then.
    """
    versions: defaultdict[object, set[str]] = defaultdict(set)
    for record in stored:
        if record.status != "duplicate":
            versions[usage_key_of(record)].add(record.book_version)
    return {key for key, found in versions.items() if len(found) > 1}


def _unlike(namespace: str, before: CostRecord, now: CostRecord, *, is_judged: bool) -> Iterator[Difference]:
    """Yield in what a record is unlike what it should be; what a quote decides only if that is judged."""
    is_judged = is_judged or now.status == "duplicate" or before.status == "duplicate"
    stored, made = _fields(before), _fields(now)
    names = [name for name in stored if stored[name] != made[name] and (is_judged or name not in _QUOTED)]
    if any(issue.startswith("amended_by:") for issue in now.issues):
        names = [name for name in names if name not in _QUOTED]
    if names:
        yield Difference(
            problem="record",
            tenant=before.tenant,
            key=span_key(namespace, before),
            expected={name: text(made[name]) for name in names},
            found={name: text(stored[name]) for name in names},
        )


def _fields(record: CostRecord) -> dict[str, object]:
    """Return what a record states beyond its call, by the names of the columns."""
    words = record.attribution
    return {
        "tenant_id": record.tenant,
        "category": record.category,
        "task": words.task,
        "tier": words.tier,
        "user_id": words.user,
        "api_key_id": words.api_key,
        "model": record.model,
        "usage": dict(record.quantities),
        "status": record.status,
        "cost_usd": record.cost_usd,
        # The order of quantities, which the database does not keep, is that of lines and issues.
        "lines": tuple(sorted(record.lines, key=place_of_line)),
        "issues": tuple(sorted(record.issues)),
        "duplicate_of": record.duplicate_of,
        "duplicate_trace_id": record.duplicate_trace_id,
        "book_version": record.book_version,
    }


def _wrong_headers(connection: psycopg.Connection[Any], rows: Sequence[TraceRow]) -> Iterator[Difference]:
    with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        found = cursor.execute(statement("trace_headers"), key_arrays([each.state.key for each in rows])).fetchall()
    stored = {(row["trace_id"], row["namespace"]): row for row in found}
    for each in rows:
        row, workflow = stored[each.state.key], each.workflow
        made = {
            "tenant_id": each.tenant,
            "state": workflow.state,
            "workflow_id": workflow.workflow_id,
            "workflow_name": workflow.workflow_name,
            "revenue_usd": workflow.revenue_usd,
            "started_us": None if each.started_at_unix_ns is None else each.started_at_unix_ns // 1000,
            "ended_us": None if each.ended_at_unix_ns is None else each.ended_at_unix_ns // 1000,
            "record_count": each.record_count,
            "is_joined": True if row["has_joins"] else row["is_joined"],
        }
        names = [name for name in made if made[name] != row[name]]
        if names:
            yield Difference(
                problem="trace",
                tenant=row["tenant_id"],
                key=trace_key(each.state.key),
                expected={name: text(made[name]) for name in names},
                found={name: text(row[name]) for name in names},
            )


# ----------------------------------------------------------------------------------------------- lines, ids, journal


def _wrong_lines(state: TraceState, record: CostRecord) -> Iterator[Difference]:
    """Yield where an amount is not quantity times price, or a cost not the sum of its lines."""
    key = span_key(state.key[1], record)
    for line in record.lines:
        if line.amount_usd is not None and line.amount_usd != _product(line):
            yield difference("line", record.tenant, key | {"unit": line.unit}, "amount_usd", _product(line), line[3])
    known = [line.amount_usd for line in record.lines if line.amount_usd is not None]
    if record.status in _BILLED and record.lines and total(known) != record.cost_usd:
        yield difference("record", record.tenant, key, "cost_usd", total(known), record.cost_usd)


def _product(line: Line) -> object:
    if line.unit_price_usd is None or not line.per:
        return None
    return quantise_line(CONTEXT.divide(CONTEXT.multiply(line.billed_quantity, line.unit_price_usd), line.per))


def _unknown_calls(
    connection: psycopg.Connection[Any],
    component: Sequence[TraceState],
    mine: Sequence[TraceState],
    locked: LockedTraces,
) -> Iterator[Difference]:
    """Yield calls whose id is not known, or whose trace is not joined with the one in which it was seen first."""
    named = {
        (call_key(state.key[1], name), state.key): state
        for state in mine
        for call in state.calls.values()
        # What may only frame calls gets no key when it arrives.
        if not call.is_look_alike and (name := key_name(call))
    }
    hashes = sorted(
        {call_hash for call_hash, state_key in named if call_hash not in named[call_hash, state_key].shared_keys}
    )
    if not hashes:
        return
    with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        cursor.execute(statement("homes_of_calls"), {"call_hash": Int8Array.of(hashes)})
        homes = {row["call_hash"]: row for row in cursor.fetchall()}
        has_forgotten = cursor.execute(statement("has_purged_months")).fetchone() is not None
    for (call_hash, key), state in named.items():
        home = homes.get(call_hash)
        if call_hash in state.shared_keys or (home is None and has_forgotten):
            continue
        where = {**trace_key(key), "call_hash": str(call_hash)}
        if home is None:
            yield difference("provider_call", key[1], where, "trace_id", key[0], None)
        elif not home["is_shared"] and home["trace_id"] != key[0]:
            other = home["trace_id"], key[1]
            is_joined = {(key, other), (other, key)} <= locked.stored_joins
            if not is_joined and not _may_have_been_refused(connection, component, other):
                yield difference("trace_join", key[1], where, "other_trace_id", other[0], None)


def _may_have_been_refused(
    connection: psycopg.Connection[Any], component: Sequence[TraceState], other: TraceKey
) -> bool:
    """Return whether both sides are too many traces to be settled together, or were before some of them parted."""
    with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        rows = cursor.execute(statement("joined_traces"), key_arrays([other])).fetchall()
        others = sorted({(row["trace_id"], row["namespace"]) for row in rows} | {other})
        headers = cursor.execute(statement("trace_headers"), key_arrays(others)).fetchall()
    has_parted = any(state.shared_keys for state in component) or any(row["has_shared_keys"] for row in headers)
    return has_parted or len(component) + len(others) > locked_traces.JOINED_TRACES_MAX


def _unlike_journal(connection: psycopg.Connection[Any], keys: Sequence[TraceKey]) -> Iterator[Difference]:
    with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        rows = cursor.execute(statement("unlike_last_posting"), key_arrays(keys)).fetchall()
    for row in rows:
        key = {**trace_key((row["trace_id"], row["namespace"])), "span_id": row["span_id"].hex()}
        names = [name for name in ("tenant_id", "status", "cost_usd") if row[f"new_{name}"] != row[name]]
        yield Difference(
            problem="journal",
            tenant=row["posted_tenant_id"],
            key=key,
            expected={name: text(row[name]) for name in names},
            found={name: text(row[f"new_{name}"]) for name in names},
        )
