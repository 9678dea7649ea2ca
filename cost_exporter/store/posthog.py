"""The calls whose events wait for PostHog, and how they are claimed.

A call gets here in the transaction that makes its workflow final, and again for each change after that, which the
journal has: it is read by transaction ids, so that nothing is passed over that commits late. An event is made of what
the call is when it is sent. One service sends at a time, so an older state never arrives after a newer one.
"""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from cost_exporter.errors import StoreError
from cost_exporter.store.database.locks import Lock, try_lock_transaction
from cost_exporter.store.database.statements import statement
from cost_exporter.store.journal import JournalPlace, read_corrections

__all__ = ["PosthogClaim", "PosthogOutbox"]

Row = dict[str, Any]
EventOf = Callable[[Row], bytes | None]
_CLAIM_CALLS_MAX: Final = 200
_POSTINGS_MAX: Final = 1000
_FORGOTTEN_AFTER: Final = timedelta(days=2)
_log = logging.getLogger(__name__)


class PosthogClaim:
    """Calls held by the lock of an open transaction, with an event each."""

    def __init__(self, cursor: psycopg.Cursor[Row], rows: Sequence[Row], event_of: EventOf, *, is_full: bool) -> None:
        self._cursor = cursor
        self._ids = [row["call_id"] for row in rows]
        # A call that waits twice needs one event: they would be the same.
        newest = {(row["namespace"], row["trace_id"], row["span_id"]): row for row in rows}
        events = [event_of(row) for row in newest.values()]
        self.requests: Sequence[bytes] = [event for event in events if event is not None]
        self.span_count = len(self.requests)
        self.is_full = is_full

    def done(self, *, given_up_count: int = 0) -> None:
        """Delete the calls, and count the events among them that were dropped."""
        self._cursor.execute(statement("delete_posthog_calls"), {"call_ids": self._ids})
        if given_up_count:
            self._cursor.execute(statement("count_dropped_events"), {"count": given_up_count})


class PosthogOutbox:
    """The calls of one database that wait for PostHog."""

    def __init__(self, pool: ConnectionPool[Any], event_of: EventOf) -> None:
        """Follow the journal from now on, unless it was being followed. `event_of` makes the event of a call."""
        self._pool = pool
        self._event_of = event_of
        self._last_problem = ""
        with pool.connection() as connection:
            connection.execute(statement("follow_journal_from_now"), {"age": _FORGOTTEN_AFTER})

    @contextmanager
    def claim(self) -> Generator[PosthogClaim]:
        """Hold the calls that wait longest; none where another service sends."""
        with (
            self._pool.connection() as connection,
            connection.transaction(),
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            if not try_lock_transaction(connection, Lock.POSTHOG):
                yield PosthogClaim(cursor, [], self._event_of, is_full=False)
                return
            has_more = self._follow_journal(connection, cursor)
            rows = cursor.execute(statement("calls_for_posthog"), {"count": _CLAIM_CALLS_MAX}).fetchall()
            claim = PosthogClaim(cursor, rows, self._event_of, is_full=has_more or len(rows) == _CLAIM_CALLS_MAX)
            if rows and not claim.requests:
                claim.done()
            yield claim

    def _follow_journal(self, connection: psycopg.Connection[Any], cursor: psycopg.Cursor[Row]) -> bool:
        """Let the calls wait that changed, as far as the journal can be read; what became final is sent anyway."""
        problem = ""
        try:
            return _follow_journal(connection, cursor)
        except StoreError as error:
            problem = str(error)
            if problem != self._last_problem:
                _log.error("corrections are not sent to PostHog: %s", problem)
            return False
        finally:
            self._last_problem = problem

    def give_up_older_than(self, age: timedelta) -> int:
        """Drop and count the calls that waited too long; return how many."""
        with self._pool.connection() as connection:
            row = connection.execute(statement("drop_old_posthog_calls"), {"age": age}).fetchone()
        return 0 if row is None else int(row[0])


def _follow_journal(connection: psycopg.Connection[Any], cursor: psycopg.Cursor[Row]) -> bool:
    """Let the calls wait that changed since the last time, and return whether there may be more."""
    place = cursor.execute(statement("posthog_place")).fetchone()
    assert place is not None
    if place["is_ahead"]:
        cursor.execute(statement("follow_journal_from_now"), {"age": _FORGOTTEN_AFTER})
        return False
    rows, read_up_to = read_corrections(
        connection,
        JournalPlace(transaction_id=place["transaction_id"], posting_id=place["posting_id"]),
        count=_POSTINGS_MAX,
    )
    settled = [row for row in rows if {row["old_status"], row["new_status"]} - {None, "duplicate"}]
    if settled:
        parameters = {name: [row[name] for row in settled] for name in ("namespace", "trace_id", "span_id")}
        cursor.execute(statement("queue_corrected_calls"), parameters)
    if rows or place["is_old"]:
        moved = {"transaction_id": read_up_to.transaction_id, "posting_id": read_up_to.posting_id}
        cursor.execute(statement("move_posthog_place"), moved)
    return len(rows) == _POSTINGS_MAX
