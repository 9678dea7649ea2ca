"""Every connection to the ledger's database is opened here, and runs in UTC.

A day is a UTC day. The database, the role, the URL and `PGTZ` can each put a session into another time zone, in
which a date would mean other instants: a day's report would then hold the calls of other hours, or none.
"""

import getpass
import os
import time
from collections.abc import Callable, Generator
from typing import Any, Final, TypeVar

import psycopg
from psycopg_pool import ConnectionPool

__all__ = ["connect", "in_utc", "open_pool"]

_CONNECT_SECONDS_MAX: Final = 5
_ANSWER_SECONDS_MAX: Final = 30.0
_UNCHECKED_SECONDS_MAX: Final = 1.0
_VANISHED: Final = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 15_000}
"""A server that vanished without a word is noticed within the patience of a sender."""
Connection = psycopg.Connection[Any]
T = TypeVar("T")


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that does not wait for ever.

    A server that is stopped, or whose disk hangs, acknowledges every byte and answers none: neither its own time-outs
    nor those of TCP help. After half a minute, longer than any statement here may take, the connection is closed.
    """

    returned_at_seconds = 0.0
    """When it was last given back to its pool, by the monotonic clock."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for an answer. Raises `psycopg.OperationalError` where none comes."""
        deadline_seconds = time.monotonic() + (timeout or _ANSWER_SECONDS_MAX)
        try:
            return super().wait(_until(gen, deadline_seconds), interval)
        except _NoAnswer:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the database has not answered for {_ANSWER_SECONDS_MAX:.0f} s; is its server stopped?"
            ) from None


class _NoAnswer(Exception):
    """The time is over."""


def _until(gen: Generator[Any, Any, T], deadline_seconds: float) -> Generator[Any, Any, T]:
    """Return the generator of an operation, with an end. It is resumed at least at each interval."""
    sent: Any = None
    try:
        while True:
            sent = yield gen.send(sent)
            if not sent and time.monotonic() > deadline_seconds:
                gen.close()
                raise _NoAnswer
    except StopIteration as end:
        return end.value


def connect(
    database_url: str, *, connect_timeout: int = _CONNECT_SECONDS_MAX, is_impatient: bool = False, **options: Any
) -> Connection:
    """Connect in UTC. Raises `psycopg.Error` as psycopg does. One that `is_impatient` gives a silent server up."""
    connect_to = ImpatientConnection.connect if is_impatient else psycopg.connect
    options = {"fallback_application_name": _program_name()} | _VANISHED | options
    connection: Connection = connect_to(database_url, connect_timeout=connect_timeout, **options)
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
    """Return a pool of connections in UTC; none is opened before the first use.

    One that nobody had for a second is checked before it is lent: a check is a round trip of its own.
    """

    def prepare(connection: Connection) -> None:
        in_utc(connection)
        if configure is not None:
            configure(connection)

    return ConnectionPool[Connection](
        database_url,
        connection_class=ImpatientConnection,
        kwargs={"autocommit": True, "connect_timeout": _CONNECT_SECONDS_MAX, **_VANISHED, **options},
        configure=prepare,
        min_size=0,
        max_size=size_max,
        timeout=wait_seconds_max,
        check=_check_if_idle,
        reset=_note_return,
        open=True,
        name=name,
    )


def _note_return(connection: Connection) -> None:
    assert isinstance(connection, ImpatientConnection)
    connection.returned_at_seconds = time.monotonic()


def _check_if_idle(connection: Connection) -> None:
    assert isinstance(connection, ImpatientConnection)
    if time.monotonic() - connection.returned_at_seconds > _UNCHECKED_SECONDS_MAX:
        ConnectionPool.check_connection(connection)


def _program_name() -> str:
    """Return what the server shows of us, and keeps in the audit log: the program and the account that runs it."""
    try:
        return f"callfare: {getpass.getuser()}"
    except (OSError, KeyError):  # an account without a name, as in some containers
        return f"callfare: {os.getuid()}"


def in_utc(connection: psycopg.Connection[Any]) -> None:
    """Put a new connection into UTC. The server reports its time zone, so one that is in UTC costs no round trip.

    `options=-c timezone=UTC` would not be enough: libpq sends `PGTZ` as a parameter of its own, which wins.
    """
    if connection.info.parameter_status("TimeZone") != "UTC":
        connection.execute("set time zone 'UTC'")
        if not connection.autocommit:
            connection.commit()
