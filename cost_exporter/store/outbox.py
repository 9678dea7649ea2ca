"""The outbox in PostgreSQL: spans that wait to be forwarded.

A row is a parcel: the finished request with the spans of one transaction that share resource and scope, up to a
bound. A claim holds its rows by `for update skip locked` in an open transaction, so several services may drain
one outbox and a crash releases what it held.
"""

from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import psycopg
from psycopg_pool import ConnectionPool

from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.read.otlp.otlp_bytes import framed_span, trace_request
from cost_exporter.store.database.statements import statement

__all__ = ["PostgresClaim", "PostgresOutbox", "insert_outgoing"]

_PARCEL_SPANS_MAX: Final = 512
_PARCEL_BYTES_MAX: Final = 512 << 10
"""A parcel ends with the span that reaches this."""
_CLAIM_ROWS_MAX: Final = 64
_CLAIM_BYTES: Final = 2 << 20
"""A claim ends with the row that reaches this: it is sent as one request, and gRPC receivers take 4 MiB by default."""


def insert_outgoing(cursor: psycopg.Cursor[Any], spans: Iterable[tuple[OutgoingSpan, bytes]]) -> None:
    """Put spans into the outbox, each with the bytes to append to it, in the transaction of `cursor`."""
    groups = defaultdict[tuple[bytes, bytes], list[bytes]](list)
    for (resource, scope, span), cost in spans:
        groups[resource, scope].append(framed_span(span + cost))
    parcels = [
        (len(parcel), trace_request(resource, scope, parcel))
        for (resource, scope), framed in groups.items()
        for parcel in _parcels(framed)
    ]
    if parcels:
        cursor.execute(
            statement("insert_parcels"),
            {"span_count": [count for count, _ in parcels], "request": [request for _, request in parcels]},
        )


def _parcels(framed_spans: Sequence[bytes]) -> Generator[Sequence[bytes]]:
    """Cut the spans of one group into parcels of bounded size."""
    start = size_bytes = 0
    for position, span in enumerate(framed_spans):
        if position - start >= _PARCEL_SPANS_MAX or size_bytes >= _PARCEL_BYTES_MAX:
            yield framed_spans[start:position]
            start, size_bytes = position, 0
        size_bytes += len(span)
    yield framed_spans[start:]


class PostgresClaim:
    """Rows held by an open transaction."""

    def __init__(self, cursor: psycopg.Cursor[Any], rows: Sequence[tuple[int, int, bytes, int]]) -> None:
        self._cursor = cursor
        self._ids = [row[0] for row in rows]
        self.span_count = sum(row[1] for row in rows)
        self.requests: Sequence[bytes] = [row[2] for row in rows]
        held_count = rows[0][3] if rows else 0
        self.is_full = held_count == _CLAIM_ROWS_MAX or held_count > len(rows)

    def done(self, *, given_up_count: int = 0) -> None:
        """Delete the rows, and count the spans among them that were dropped."""
        self._cursor.execute(statement("delete_parcels"), {"ids": self._ids})
        if given_up_count:
            self._cursor.execute(statement("count_given_up"), {"count": given_up_count})


class PostgresOutbox:
    """The outbox of one database."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    @contextmanager
    def claim(self) -> Generator[PostgresClaim]:
        """Hold what one request may carry, oldest first, that no other sender holds."""
        with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
            bounds = {"rows": _CLAIM_ROWS_MAX, "bytes": _CLAIM_BYTES}
            # Binary: as text every byte of a span would come as two.
            rows = cursor.execute(statement("claim_parcels"), bounds, binary=True).fetchall()
            yield PostgresClaim(cursor, rows)

    def give_up_older_than(self, age: timedelta) -> int:
        """Drop and count the spans that waited too long; return how many."""
        with self._pool.connection() as connection:
            row = connection.execute(statement("give_up_old"), {"age": age}).fetchone()
        return 0 if row is None else int(row[0])

    def state(self) -> tuple[int, int]:
        """Return how many spans wait, and how many were dropped since the beginning."""
        with self._pool.connection() as connection:
            row = connection.execute(statement("outbox_state")).fetchone()
        return (0, 0) if row is None else (int(row[0]), int(row[1]))
