"""Every connection to the ledger's database is opened here, and runs in UTC.

A day is a UTC day. The database, the role, the URL and `PGTZ` can each put a session into another time zone, in
which a date would mean other instants: a day's report would then hold the calls of other hours, or none.
"""

from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg_pool import ConnectionPool

__all__ = ["connect", "in_utc", "open_pool"]

_CONNECT_SECONDS_MAX: Final = 5
Connection = psycopg.Connection[Any]


def connect(database_url: str, *, connect_timeout: int = _CONNECT_SECONDS_MAX, **options: Any) -> Connection:
    """Connect in UTC. Raises `psycopg.Error` as psycopg does."""
    connection: Connection = psycopg.connect(database_url, connect_timeout=connect_timeout, **options)
    try:
        in_utc(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_pool(
    database_url: str,
    *,
    size_max: int,
    wait_seconds_max: float,
    name: str,
    configure: Callable[[Connection], None] | None = None,
    **options: Any,
) -> ConnectionPool[Connection]:
    """Return a pool of connections in UTC, each checked before it is lent; none is opened before the first use."""

    def prepare(connection: Connection) -> None:
        in_utc(connection)
        if configure is not None:
            configure(connection)

    return ConnectionPool[Connection](
        database_url,
        kwargs={"autocommit": True, "connect_timeout": _CONNECT_SECONDS_MAX, **options},
        configure=prepare,
        min_size=0,
        max_size=size_max,
        timeout=wait_seconds_max,
        check=ConnectionPool.check_connection,
        open=True,
        name=name,
    )


def in_utc(connection: psycopg.Connection[Any]) -> None:
    """Put a new connection into UTC. The server reports its time zone, so one that is in UTC costs no round trip.

    `options=-c timezone=UTC` would not be enough: libpq sends `PGTZ` as a parameter of its own, which wins.
    """
    if connection.info.parameter_status("TimeZone") != "UTC":
        connection.execute("set time zone 'UTC'")
        if not connection.autocommit:
            connection.commit()
