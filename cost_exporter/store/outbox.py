"""The outbox in PostgreSQL: spans that wait to be forwarded.

A claim holds its rows by `for update skip locked` in an open transaction, so several services may drain one
outbox and a crash releases what it held.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from cost_exporter.domain.facts import OutgoingSpan

__all__ = ["PostgresClaim", "PostgresOutbox", "insert_outgoing"]

_INSERT = """
insert into callfare.outbox (resource, scope, span)
select * from unnest(%b::bytea[], %b::bytea[], %b::bytea[])
"""
_CLAIM = """
select id, resource, scope, span from callfare.outbox order by id limit %s for update skip locked
"""
_GIVE_UP_OLD = """
with old as (
    select id from callfare.outbox where waiting_since < now() - %s for update skip locked
), gone as (
    delete from callfare.outbox using old where outbox.id = old.id returning 1
)
update callfare.outbox_given_up set span_count = span_count + (select count(*) from gone)
returning (select count(*) from gone)
"""


def insert_outgoing(cursor: psycopg.Cursor[Any], spans: Sequence[OutgoingSpan]) -> None:
    """Put spans into the outbox, in the transaction of `cursor`."""
    if spans:
        cursor.execute(
            _INSERT, ([each.resource for each in spans], [each.scope for each in spans], [each.span for each in spans])
        )


class PostgresClaim:
    """Rows held by an open transaction."""

    def __init__(self, cursor: psycopg.Cursor[Any], rows: Sequence[tuple[int, bytes, bytes, bytes]]) -> None:
        self._cursor = cursor
        self._ids = [row[0] for row in rows]
        self.spans: Sequence[OutgoingSpan] = [
            OutgoingSpan(resource=resource, scope=scope, span=span) for _, resource, scope, span in rows
        ]

    def done(self, positions: Sequence[int]) -> None:
        """Delete these spans: the backend has them."""
        ids = [self._ids[position] for position in positions]
        self._cursor.execute("delete from callfare.outbox where id = any(%s)", (ids,))

    def give_up(self, positions: Sequence[int]) -> None:
        """Delete these spans and count them as given up."""
        self.done(positions)
        self._cursor.execute("update callfare.outbox_given_up set span_count = span_count + %s", (len(positions),))


class PostgresOutbox:
    """The outbox of one database."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    @contextmanager
    def claim(self, limit: int) -> Generator[PostgresClaim]:
        """Hold up to `limit` spans, oldest first, that no other sender holds."""
        with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
            # Binary: as text every byte of a span would come as two.
            yield PostgresClaim(cursor, cursor.execute(_CLAIM, (limit,), binary=True).fetchall())

    def give_up_older_than(self, age: timedelta) -> int:
        """Drop and count what waited too long; return how many."""
        with self._pool.connection() as connection:
            row = connection.execute(_GIVE_UP_OLD, (age,)).fetchone()
        return 0 if row is None else int(row[0])

    def state(self) -> tuple[int, int]:
        """Return how many spans wait, and how many were given up since the beginning."""
        with self._pool.connection() as connection:
            row = connection.execute(
                "select (select count(*) from callfare.outbox), span_count from callfare.outbox_given_up"
            ).fetchone()
        return (0, 0) if row is None else (int(row[0]), int(row[1]))
