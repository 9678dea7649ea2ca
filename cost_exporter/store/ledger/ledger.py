"""The way into the store: facts in, receipts out, everything in one transaction.

    lock     the traces that the batch touches, and load their stored facts           locked_traces.py
    merge    the new facts with them: new, duplicate or conflict                      trace_state.py
    complete what is settled with them in traces too long to be loaded whole          long_traces.py
    settle   all facts of each trace together, and take the difference                write_set.py, domain/settling/
    write    the difference: records, history, rollups, dead letters                  write.py
    commit

A crash before the commit leaves nothing; after it everything, and sending the batch again changes nothing.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import psycopg

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.facts import DeadLetter, Facts, Receipt
from cost_exporter.domain.settling.settle import Price
from cost_exporter.errors import StoreFault, StoreUnavailable
from cost_exporter.store.database.buckets import bucket_day_of, ensure_bucket, is_purged, purged_among
from cost_exporter.store.database.connection import connect_ledger, rolled_back_unless_committed
from cost_exporter.store.ledger.isolate import (
    Isolated,
    describe,
    halves,
    is_content_error,
    is_missing_partition,
    letters_of,
    sum_of,
    without_traces,
)
from cost_exporter.store.ledger.locked_traces import (
    LockedTraces,
    call_hashes,
    lock_and_load,
    span_ids_of,
    trace_keys_of,
)
from cost_exporter.store.ledger.long_traces import complete
from cost_exporter.store.ledger.rates import give_numbers
from cost_exporter.store.ledger.timings import write_timings
from cost_exporter.store.ledger.trace_state import TraceKey, merge
from cost_exporter.store.ledger.write import Enrich, OvertakenError, write_all, write_letters
from cost_exporter.store.ledger.write_set import WriteSet, settle_component

__all__ = ["LedgerStore"]

_log = logging.getLogger(__name__)

Announce = Callable[[Sequence[tuple[CostRecord, CostRecord | None]]], None]

_DAY_NS: Final = 86_400 * 1_000_000_000
_ATTEMPTS_MAX: Final = 5
_RETRY_SECONDS_MAX: Final = 0.05
_PASSING: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, OvertakenError)


class _PurgedMonthError(ValueError):
    """The records of the month that a span belongs to were dropped: it came too late, which is no fault of ours."""


class _MissingPartitionError(Exception):
    """The months of some traces have no partition."""

    def __init__(self, bucket_days: set[int]) -> None:
        super().__init__(f"{len(bucket_days)} months")
        self.bucket_days = bucket_days


class _UnsettledError(Exception):
    """Some traces could not be settled or priced: a fault of ours or of the price book, whatever the error is."""

    def __init__(self, traces: set[TraceKey], error: Exception) -> None:
        super().__init__(f"a call could not be settled or priced: {describe(error)}")
        self.traces = traces
        self.error = error


class LedgerStore:
    """One connection to the ledger, made when it is needed and again after it broke. Use from one thread at a time."""

    def __init__(
        self, database_url: str, *, enrich: Enrich | None = None, announce: Announce | None = None, seed: int = 0
    ) -> None:
        """Name the database.

        `enrich` returns what to append to a forwarded span; None forwards nothing. `announce` is called after each
        commit with the records that it stored, each with what was stored before; it must not raise.
        """
        self._database_url = database_url
        self._enrich = enrich
        self._announce = announce
        self._connection: psycopg.Connection[Any] | None = None
        self._buckets: set[int] = set()
        self._refused: list[str] = []
        self._random = random.Random(seed)  # noqa: S311 - jitter
        self._lock = threading.Lock()

    def commit(self, batches: Sequence[Facts], price: Price) -> list[Receipt]:
        """Store all batches in one transaction and return their receipts after COMMIT.

        What the database or the engine refuses for its content becomes a dead letter and its neighbours are
        stored. Raises `StoreUnavailable` where nothing is wrong with the batch: the senders should try again; its
        kind `StoreFault` where that may not help.
        """
        with self._lock:
            self._refused.clear()
            try:
                receipts = self._commit_isolating(list(batches), price)
            except StoreUnavailable:
                raise
            except _UnsettledError as fault:
                self._commit_settled(batches, fault, price)
                raise StoreFault(str(fault)) from fault.error
            except psycopg.OperationalError as error:
                self._drop_connection()
                raise StoreUnavailable(f"the database cannot take the batch: {_first_line(error)}") from error
            except psycopg.Error as error:
                self._drop_connection()
                raise StoreUnavailable(f"the database refused a statement: {_first_line(error)}") from error
            if self._refused:
                _log.error("%d spans could not be stored, the last for %s", len(self._refused), self._refused[-1])
            return receipts

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop_connection()

    # -------------------------------------------------------------------------------------- one bad span, isolated

    def _commit_isolating(self, batches: list[Facts], price: Price) -> list[Receipt]:
        """Commit all, or, where some content is refused, each half by itself down to the one span at fault."""
        try:
            return self._commit_retrying(batches, (), price)
        except Exception as error:
            if not is_content_error(error):
                raise
            if len(batches) > 1:
                middle = len(batches) // 2
                return [
                    *self._commit_isolating(batches[:middle], price),
                    *self._commit_isolating(batches[middle:], price),
                ]
            return [self._commit_divided(batches[0], price, error)]

    def _commit_divided(self, batch: Facts, price: Price, error: Exception) -> Receipt:
        """Divide one request; a single span that is refused becomes a dead letter."""
        divided = halves(batch)
        if isinstance(divided, Isolated):
            self._refused.append(describe(error))
            letters = [(batch, letter) for letter in letters_of(batch, error)]
            (receipt,) = self._commit_retrying([divided.remainder], letters, price)
            return sum_of([receipt, Receipt(received=len(batch.calls), dead_letter=len(batch.calls))])
        return sum_of([receipt for half in divided for receipt in self._commit_isolating([half], price)])

    # ------------------------------------------------------------------------------ a trace that cannot be settled

    def _commit_settled(self, batches: Sequence[Facts], fault: _UnsettledError, price: Price) -> None:
        """Store the other traces of a request that is then refused: a sender may not come again for long."""
        if len(batches) > 1:
            return  # each comes again alone, because whose fault it is shows only then
        batch = batches[0]
        ours = {trace_id for trace_id, namespace in fault.traces if namespace == batch.namespace}
        rest = without_traces(batch, ours)
        if rest.calls or rest.links:
            with suppress(_UnsettledError, StoreUnavailable, psycopg.Error):
                self._commit_isolating([rest], price)

    # -------------------------------------------------------------------------------------------- one transaction

    def _commit_retrying(
        self, batches: list[Facts], letters: Sequence[tuple[Facts, DeadLetter]], price: Price
    ) -> list[Receipt]:
        """Commit in one transaction, again after losing a race or a deadlock, or once a missing partition is made."""
        extra: set[TraceKey] = set()
        made: set[int] = set()
        failures = 0
        while True:
            try:
                done = self._commit_once(batches, letters, price, extra)
                if isinstance(done, list):
                    return done
                extra |= done  # grows by at least one trace each time, and components are bounded
            except _MissingPartitionError as missing:
                self._make_partitions(missing.bucket_days, made)
                made |= missing.bucket_days
            except (*_PASSING, psycopg.errors.UniqueViolation) as error:
                failures += 1
                if failures >= _ATTEMPTS_MAX:
                    raise self._not_passing(error) from error
                time.sleep(self._random.uniform(0, _RETRY_SECONDS_MAX * failures))

    def _not_passing(self, error: Exception) -> StoreUnavailable:
        """Return what to raise for an error that was taken for a race and has not passed."""
        if isinstance(error, psycopg.errors.UniqueViolation):
            # As a rule another writer made the trace between our look and our write. But a row may also be there
            # without what belongs to it, after an incomplete restore, and then it will be there next time.
            return StoreFault(f"the database has rows that do not fit together: {describe(error)}")
        return StoreUnavailable("writers keep getting in each other's way; try again")

    def _make_partitions(self, bucket_days: set[int], made: set[int]) -> None:
        """Make what the database should have had: it was replaced under us, or restored from long ago."""
        connection = self._connected()
        if any(is_purged(connection, bucket_day) for bucket_day in bucket_days):
            raise _PurgedMonthError
        if bucket_days <= made:
            raise StoreUnavailable("the database has no partition for a month, and none can be made")
        for bucket_day in sorted(bucket_days - made):
            _log.warning("the database has no partition for a month that had one; it is made again")
            ensure_bucket(connection, bucket_day)
        connection.commit()

    def _commit_once(
        self, batches: list[Facts], letters: Sequence[tuple[Facts, DeadLetter]], price: Price, extra: set[TraceKey]
    ) -> list[Receipt] | set[TraceKey]:
        """Return the receipts, or the traces that have to be locked as well; then nothing was written."""
        bucket_day = self._bucket_day(batches)
        connection = self._connected()
        all_letters = [*letters, *((batch, letter) for batch in batches for letter in batch.dead_letters)]
        with rolled_back_unless_committed(connection):
            locked = self._locked(connection, batches, extra, bucket_day)
            if not isinstance(locked, LockedTraces):
                return locked
            receipts: list[Receipt] = []
            dropped = purged_among(connection, _earlier_months(batches, bucket_day))
            for batch in batches:
                receipt, refused = merge(locked.states, batch, dropped)
                receipts.append(receipt)
                all_letters += [(batch, letter) for letter in refused]
            complete(connection, locked.states.values())
            write_set = _settled(locked, price)
            if write_set.trace_rows or write_set.revisions:
                self._write(connection, write_set, locked)
            write_timings(connection, batches, bucket_day)
            write_letters(connection, all_letters)
            connection.commit()
        if self._announce is not None and write_set.changes:
            self._announce([(change.record, change.before) for change in write_set.changes])
        give_numbers(connection)
        return receipts

    def _write(self, connection: psycopg.Connection[Any], write_set: WriteSet, locked: LockedTraces) -> None:
        try:
            write_all(connection, write_set, locked, self._enrich)
        except psycopg.errors.UniqueViolation as error:
            if error.diag.table_name != "provider_call":
                raise
            raise OvertakenError from error
        except psycopg.errors.CheckViolation as error:
            if not is_missing_partition(error):
                raise
            raise _MissingPartitionError({each.state.bucket_day for each in write_set.trace_rows}) from error

    def _locked(
        self, connection: psycopg.Connection[Any], batches: list[Facts], extra: set[TraceKey], bucket_day: int
    ) -> LockedTraces | set[TraceKey]:
        keys = trace_keys_of(batches) | extra
        if not keys:
            return LockedTraces(states={})
        return lock_and_load(connection, keys, call_hashes(batches), bucket_day, span_ids_of(batches))

    # ---------------------------------------------------------------------------------------------- connection

    def _bucket_day(self, batches: Sequence[Facts]) -> int:
        """Return the month of receipt, after making sure that it has its partition."""
        bucket_day = bucket_day_of(max((batch.received_at_unix_ns for batch in batches), default=0))
        if bucket_day not in self._buckets:
            connection = self._connected()
            ensure_bucket(connection, bucket_day)
            connection.commit()
            self._buckets.add(bucket_day)
        return bucket_day

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect_ledger(self._database_url)
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _earlier_months(batches: Sequence[Facts], bucket_day: int) -> set[int]:
    """Return the months before that of the receipt in which calls began: there are none nearly always."""
    month_starts_at_unix_ns = bucket_day * _DAY_NS
    return {
        bucket_day_of(call.started_at_unix_ns)
        for batch in batches
        for call in batch.calls
        if call.started_at_unix_ns < month_starts_at_unix_ns
    }


def _settled(locked: LockedTraces, price: Price) -> WriteSet:
    """Return what has to be written. Raises `_UnsettledError` with all traces for which that cannot be decided."""
    write_set = WriteSet()
    traces: set[TraceKey] = set()
    first_error: Exception | None = None
    for component in locked.components():
        try:
            settle_component(component, price, write_set)
        except Exception as error:  # noqa: BLE001 - no content may make it fail, so the fault is not the content's
            first_error = first_error or error
            traces |= {state.key for state in component}
    if first_error is not None:
        raise _UnsettledError(traces, first_error)
    return write_set


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
