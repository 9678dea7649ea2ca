"""Connections to the ledger: bounded waits, a checked schema, arrays in binary."""

from typing import Any, Final

import psycopg

from cost_exporter.store.codec.arrays import register_arrays
from cost_exporter.store.database.migrate import check_schema
from cost_exporter.store.database.session import connect
from cost_exporter.store.database.unreachable import unreachable

__all__ = ["connect_ledger", "open_ledger", "rolled_back_unless_committed"]

# Generous: a statement that takes longer has lost its server, and the senders' patience ends at 10 s.
_SESSION_OPTIONS: Final = (
    "-c statement_timeout=20s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"
    " -c application_name=callfare -c jit=off"
)


def connect_ledger(database_url: str) -> psycopg.Connection[Any]:
    """Connect. Raises `SchemaMismatch` where the schema is not ours, `psycopg.OperationalError` without a server."""
    connection = connect(
        database_url,
        options=_SESSION_OPTIONS,
        is_impatient=True,
    )
    try:
        check_schema(connection)
        connection.commit()
    except BaseException:
        connection.close()
        raise
    register_arrays(connection)
    return connection


def open_ledger(database_url: str) -> psycopg.Connection[Any]:
    """Connect for a command. Raises `StoreUnavailable` with what to do where there is no server."""
    try:
        return connect_ledger(database_url)
    except psycopg.Error as error:
        raise unreachable(error) from error


class rolled_back_unless_committed:  # noqa: N801 - reads as a phrase
    """Roll back whatever is left open, so that the next transaction starts clean."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Watch over this connection."""
        self._connection = connection

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        is_open = self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
        if is_open and not self._connection.closed:
            self._connection.rollback()
