"""Re-rate history: price the records of a period again, by the book in force now.

A dry run shows what would change. Applying works trace by trace; each step is one transaction that moves records,
rollups and its own position, so every commit is exact, ingest goes on, and after a crash it continues. Each replaced
quote is kept as a revision, which undoing restores. A record whose cost does not change is left alone.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.money import CONTEXT, ZERO
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.settling.settle import Price
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.errors import StoreError, StoreUnavailable
from cost_exporter.store.codec.quote_json import quote_from, quote_json
from cost_exporter.store.database.connection import connect_ledger, open_ledger, rolled_back_unless_committed
from cost_exporter.store.database.locks import Lock, try_lock_session
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.locked_traces import LockedTraces, lock_stored
from cost_exporter.store.ledger.rates import give_numbers
from cost_exporter.store.ledger.trace_state import TraceKey
from cost_exporter.store.ledger.write import OvertakenError, write_all
from cost_exporter.store.ledger.write_set import (
    RecordChange,
    Revision,
    WriteSet,
    add_settled,
    quotes_by_usage,
    usage_key,
)

__all__ = [
    "RerateRunning",
    "RerateTotals",
    "ReratedPeriod",
    "apply_rerate",
    "list_rerates",
    "preview_rerate",
    "price_unpriced",
    "reserve_rerates",
    "resume_rerate",
    "retry_unpriced",
    "undo_rerate",
]

_TRACES_AT_ONCE: Final = 200
_FIRST_BUCKET: Final = date(1, 1, 1)
_FIRST_TRACE: Final = UUID(int=0)
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 1, 1, tzinfo=UTC)

QuoteOf = Callable[[Price, Sequence[CostRecord]], Price]
"""Given the price in force and the stored records of a component, returns the price to settle it with."""


class RerateRunning(StoreError):
    """Another re-rating is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReratedPeriod:
    """Which records: by the start of the call, from `since` until `until` (exclusive), of one tenant or of all."""

    since: datetime
    until: datetime
    tenant: str | None = None
    only_unpriced: bool = False
    """Only what has no price, or one in part: to be tried again with a new version of the book."""

    def holds(self, record: CostRecord) -> bool:
        """Whether a record is to be priced again."""
        if self.only_unpriced and record.status not in {"unpriced", "partial"}:
            return False
        started_at = datetime.fromtimestamp(record.call.started_at_unix_ns // 1_000_000_000, UTC)
        return self.since <= started_at < self.until and self.tenant in {None, record.tenant}


_UNPRICED: Final = ReratedPeriod(since=_BEGINNING, until=_END, only_unpriced=True)


@dataclass(slots=True)
class RerateTotals:
    """How far a re-rating came, over the records that change. Money that is not known counts as nothing."""

    rerate_id: int | None = None
    """None for a dry run, and where nothing changes: then nothing is written either."""
    traces: int = 0
    records: int = 0
    before_usd: Decimal = ZERO
    after_usd: Decimal = ZERO
    by_model: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict[str, tuple[Decimal, Decimal]])
    by_tenant: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict[str, tuple[Decimal, Decimal]])

    def add(self, change: RecordChange) -> None:
        """Count one changed record."""
        assert change.before is not None
        before, after = change.before.known_cost_usd, change.record.known_cost_usd
        usage = change.record.call.usage
        self.records += 1
        self.before_usd = CONTEXT.add(self.before_usd, before)
        self.after_usd = CONTEXT.add(self.after_usd, after)
        _add(self.by_model, f"{usage.provider}/{change.record.model}", before, after)
        _add(self.by_tenant, change.record.tenant, before, after)


def preview_rerate(database_url: str, period: ReratedPeriod, price: Price) -> Generator[RerateTotals]:
    """Yield what would change, after each step; the last one is the whole. Nothing is written."""
    with connect_ledger(database_url) as connection:
        totals = RerateTotals()
        place = _FIRST_BUCKET, _FIRST_TRACE
        while found := _next_traces(connection, period, place):
            keys, place = found
            with rolled_back_unless_committed(connection):
                write_set, _ = _planned(connection, keys, price, _requoting(period))
            _count(totals, keys, write_set)
            yield totals


def apply_rerate(database_url: str, period: ReratedPeriod, price: Price, book_version: str) -> Generator[RerateTotals]:
    """Re-rate, yielding the totals after each committed step. Stop at any time: `resume_rerate` goes on."""
    with reserve_rerates(database_url) as connection:
        yield from _apply(connection, _Job(period=period, price=price, book_version=book_version))


@contextmanager
def reserve_rerates(database_url: str) -> Generator[psycopg.Connection[Any]]:
    """Lend a connection that holds off all other re-ratings. Raises `RerateRunning` where there is one."""
    with open_ledger(database_url) as connection:
        _lock(connection)
        yield connection


def retry_unpriced(database_url: str, price: Price, book_version: str) -> RerateTotals | None:
    """Price again what had no price, or one in part, by a new version of the book; None where nothing waits for one.

    An ordinary re-rating: audited, undoable, the rollups exact at every step.
    """
    with connect_ledger(database_url) as connection:
        if _next_traces(connection, _UNPRICED, (_FIRST_BUCKET, _FIRST_TRACE)) is None:
            return None
    with reserve_rerates(database_url) as connection:
        return price_unpriced(connection, price, book_version)


def price_unpriced(connection: psycopg.Connection[Any], price: Price, book_version: str) -> RerateTotals:
    """Do what `retry_unpriced` does, on a connection that `reserve_rerates` lent."""
    *_, totals = _apply(connection, _Job(period=_UNPRICED, price=price, book_version=book_version))
    return totals


def list_rerates(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return every re-rating that wrote anything, the latest first, by the columns of table `rerate`."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement("rerates")).fetchall()


def resume_rerate(database_url: str, rerate_id: int, price: Price) -> Generator[RerateTotals]:
    """Go on with a re-rating that was interrupted; the totals are those of the rest."""
    with connect_ledger(database_url) as connection:
        _lock(connection)
        audit = _audit(connection, rerate_id)
        if audit["state"] != "applying":
            raise StoreError(f"re-rating {rerate_id} is {audit['state']}: only an interrupted one can be resumed")
        period = ReratedPeriod(
            since=audit["since"],
            until=audit["until"],
            tenant=audit["tenant_id"],
            only_unpriced=audit["only_unpriced"],
        )
        place = audit["last_bucket"] or _FIRST_BUCKET, audit["last_trace"] or _FIRST_TRACE
        job = _Job(period=period, price=price, book_version=audit["book_version"], rerate_id=rerate_id)
        yield from _apply(connection, job, place)


def undo_rerate(database_url: str, rerate_id: int, price: Price) -> Generator[RerateTotals]:
    """Put back the quotes that a re-rating replaced, where its records are still billed for the same usage."""
    with connect_ledger(database_url) as connection:
        _lock(connection)
        audit = _audit(connection, rerate_id)
        if audit["state"] == "undone":
            raise StoreError(f"re-rating {rerate_id} was undone already")
        totals = RerateTotals(rerate_id=rerate_id)
        last_trace = _FIRST_TRACE
        while rows := _traces_to_undo(connection, rerate_id, last_trace):
            keys = [(row["trace_id"], row["namespace"]) for row in rows]
            last_trace = rows[-1]["place"]
            restored = _quotes_before(connection, rerate_id, keys)
            with rolled_back_unless_committed(connection):
                write_set, known = _planned(connection, keys, price, _restoring(restored))
                _write(connection, write_set, known, f"undo:{rerate_id}")
                connection.commit()
            _count(totals, keys, write_set)
            yield totals
        connection.execute(statement("end_rerate"), {"rerate_id": rerate_id, "state": "undone"})
        connection.commit()
        yield totals


# ----------------------------------------------------------------------------------------------------- the steps


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """The parameters of a re-rating."""

    period: ReratedPeriod
    price: Price
    book_version: str
    rerate_id: int | None = None
    """The one to go on with; None for a new one, which gets its number with its first change."""


def _apply(
    connection: psycopg.Connection[Any], job: _Job, place: tuple[date, UUID] = (_FIRST_BUCKET, _FIRST_TRACE)
) -> Generator[RerateTotals]:
    totals = RerateTotals(rerate_id=job.rerate_id)
    while found := _next_traces(connection, job.period, place):
        keys, place = found
        step = RerateTotals(rerate_id=totals.rerate_id)
        with rolled_back_unless_committed(connection):
            write_set, known = _planned(connection, keys, job.price, _requoting(job.period))
            _count(step, keys, write_set)
            if write_set.changes and step.rerate_id is None:
                step.rerate_id = _begin(connection, job)
            _write(connection, write_set, known, f"rerate:{step.rerate_id}")
            _keep_place(connection, step, place)
            connection.commit()
        give_numbers(connection)
        totals.rerate_id = step.rerate_id
        _count(totals, keys, write_set)
        yield totals
    if totals.rerate_id is not None:
        connection.execute(statement("end_rerate"), {"rerate_id": totals.rerate_id, "state": "applied"})
        connection.commit()
    yield totals


def _begin(connection: psycopg.Connection[Any], job: _Job) -> int:
    """Write the audit row, in the transaction of the first change: what changes nothing has none, and no number."""
    parameters = {
        "since": job.period.since,
        "until": job.period.until,
        "tenant": job.period.tenant,
        "book_version": job.book_version,
        "only_unpriced": job.period.only_unpriced,
    }
    row = connection.execute(statement("begin_rerate"), parameters).fetchone()
    assert row is not None
    return int(row[0])


def _keep_place(connection: psycopg.Connection[Any], step: RerateTotals, place: tuple[date, UUID]) -> None:
    """Write how far a re-rating came, in the transaction of the step."""
    if step.rerate_id is None:
        return
    parameters = {
        "rerate_id": step.rerate_id,
        "last_bucket": place[0],
        "last_trace": place[1],
        "records": step.records,
        "before_usd": step.before_usd,
        "after_usd": step.after_usd,
    }
    connection.execute(statement("step_rerate"), parameters)


def _planned(
    connection: psycopg.Connection[Any], keys: Sequence[TraceKey], price: Price, quote_of_component: QuoteOf
) -> tuple[WriteSet, LockedTraces]:
    """Lock and load the traces and settle them with other quotes. Leaves the transaction open."""
    known = lock_stored(connection, keys, connection.rollback)
    write_set = WriteSet()
    for component in known.components():
        states = [state for state in component if state.is_stored and not state.is_purged]
        if states:
            stored = [record for state in states for record in state.records.values()]
            add_settled(states, quote_of_component(price, stored), write_set)
    return write_set, known


def _requoting(period: ReratedPeriod) -> QuoteOf:
    """Price the records of the period again; keep the quotes of all others, and of those that come out the same."""

    def quote_of_component(price: Price, stored: Sequence[CostRecord]) -> Price:
        known = quotes_by_usage(stored)
        inside = quotes_by_usage([record for record in stored if period.holds(record)]).keys()

        def quote(usage: UsageRecord) -> Quote:
            key = usage_key(usage)
            before = known.get(key)
            if before is not None and key not in inside:
                return before
            now = price(usage)
            return before if before is not None and _says_the_same(before, now) else now

        return quote

    return quote_of_component


def _restoring(restored: Mapping[tuple[bytes, bytes, str], tuple[int, Quote]]) -> QuoteOf:
    """Give back the quotes from before to records whose content is still the same."""

    def quote_of_component(price: Price, stored: Sequence[CostRecord]) -> Price:
        known = quotes_by_usage(stored)
        namespaces = {key[2] for key in restored}
        for record in stored:
            for namespace in namespaces:
                found = restored.get((record.call.trace_id, record.call.span_id, namespace))
                if found is not None and found[0] == record.call.content_hash:
                    known.update(dict.fromkeys(quotes_by_usage([record]), found[1]))
        return lambda usage: known.get(usage_key(usage)) or price(usage)

    return quote_of_component


def _says_the_same(before: Quote, now: Quote) -> bool:
    """Return whether two quotes differ in nothing that anybody pays or reads, but for the version of the book."""
    if (before.status, before.amount_usd, before.issues) != (now.status, now.amount_usd, now.issues):
        return False
    return [(line.unit, line.amount_usd) for line in before.lines] == [
        (line.unit, line.amount_usd) for line in now.lines
    ]


def _write(connection: psycopg.Connection[Any], write_set: WriteSet, known: LockedTraces, reason: str) -> None:
    """Write a plan with a revision of every quote that it replaces."""
    write_set.reason = reason
    for change in write_set.changes:
        assert change.before is not None
        write_set.revisions.append(
            Revision(
                namespace=change.namespace,
                call=change.before.call,
                tenant=change.record.tenant,
                reason=reason,
                content=quote_json(change.before.quote),
            )
        )
    if write_set.trace_rows:
        try:
            write_all(connection, write_set, known, None)
        except OvertakenError:  # pragma: no cover - nothing here is new
            raise StoreUnavailable("the traces keep changing; try again") from None


def _next_traces(
    connection: psycopg.Connection[Any], period: ReratedPeriod, place: tuple[date, UUID]
) -> tuple[list[TraceKey], tuple[date, UUID]] | None:
    """Return the next traces after `place`, and the place after them."""
    name = "unpriced_traces_to_rerate" if period.only_unpriced else "traces_to_rerate"
    wanted = {"since": period.since, "until": period.until, "tenant": period.tenant, "count": _TRACES_AT_ONCE}
    rows: list[dict[str, Any]] = []
    with connection.cursor(row_factory=dict_row) as cursor:
        for month in cursor.execute(statement("months_after"), {"bucket": place[0]}).fetchall():
            last_trace = place[1] if month["bucket"] == place[0] else _FIRST_TRACE
            rows = cursor.execute(statement(name), wanted | month | {"last_trace": last_trace}).fetchall()
            if rows:
                break
    connection.commit()
    if not rows:
        return None
    rows = _without_cut_trace(rows)
    return [(row["trace_id"], row["namespace"]) for row in rows], (rows[-1]["bucket"], rows[-1]["place"])


def _traces_to_undo(connection: psycopg.Connection[Any], rerate_id: int, last_trace: UUID) -> list[dict[str, Any]]:
    parameters = {"reason": f"rerate:{rerate_id}", "last_trace": last_trace, "count": _TRACES_AT_ONCE}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("traces_to_undo"), parameters).fetchall()
    connection.commit()
    return _without_cut_trace(rows)


def _without_cut_trace(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows without the last trace id where it may go on in another namespace: the next step has it all."""
    if len(rows) < _TRACES_AT_ONCE:
        return rows
    whole = [row for row in rows if row["place"] != rows[-1]["place"]]
    return whole or rows


def _quotes_before(
    connection: psycopg.Connection[Any], rerate_id: int, keys: Sequence[TraceKey]
) -> dict[tuple[bytes, bytes, str], tuple[int, Quote]]:
    parameters = {
        "trace_id": [UUID(bytes=trace_id) for trace_id, _ in keys],
        "namespace": [namespace for _, namespace in keys],
        "reason": f"rerate:{rerate_id}",
    }
    with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        rows = cursor.execute(statement("quotes_before"), parameters).fetchall()
    connection.commit()
    return {
        (row["trace_id"], row["span_id"], row["namespace"]): (row["content_hash"], quote_from(row["content"]))
        for row in rows
    }


def _audit(connection: psycopg.Connection[Any], rerate_id: int) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement("rerate"), {"rerate_id": rerate_id}).fetchone()
    connection.commit()
    if row is None:
        raise StoreError(f"there is no re-rating {rerate_id}")
    return row


def _lock(connection: psycopg.Connection[Any]) -> None:
    """Hold off other re-ratings for as long as this connection lives."""
    is_ours = try_lock_session(connection, Lock.RERATE)
    connection.commit()
    if not is_ours:
        raise RerateRunning("another re-rating is running; wait for it to end")


def _count(totals: RerateTotals, keys: Sequence[TraceKey], write_set: WriteSet) -> None:
    totals.traces += len(keys)
    for change in write_set.changes:
        totals.add(change)


def _add(sums: dict[str, tuple[Decimal, Decimal]], key: str, before: Decimal, after: Decimal) -> None:
    known = sums.get(key, (ZERO, ZERO))
    sums[key] = CONTEXT.add(known[0], before), CONTEXT.add(known[1], after)
