"""Sessions of browsers: who showed a token on the login page, until when. Stored hashed, in the database.

A session can do what its token can, and ends with it: revoking the token or reaching its end is enough. Sessions are
rows and not memory, so that they outlive a restart and several services may share one address.
"""

import hashlib
import secrets
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

from cost_exporter.store.database.statements import statement
from cost_exporter.store.database.unreachable import unreachable
from cost_exporter.store.tokens import Connection, Credential, TokenScope

__all__ = ["SESSION_LASTS", "WebSessions"]

SESSION_LASTS: Final = timedelta(hours=12)
_ID_BYTES: Final = 32


class WebSessions:
    """Begins, finds and ends sessions. Thread-safe. Raises `StoreUnavailable` while the database is away."""

    def __init__(self, connect: Callable[[], AbstractContextManager[Connection]]) -> None:
        """`connect` lends a connection."""
        self._connect = connect

    def begin(self, token_id: int, *, replaced: str | None = None) -> str:
        """Return the id of a new session, which ends the one it replaces: an id never outlives a login."""
        session_id = secrets.token_urlsafe(_ID_BYTES)
        with self._connection() as connection:
            connection.execute(statement("delete_ended_sessions"))
            if replaced is not None:
                connection.execute(statement("delete_session"), {"session_hash": _hash(replaced)})
            parameters = {"session_hash": _hash(session_id), "token_id": token_id, "lasts": SESSION_LASTS}
            connection.execute(statement("insert_session"), parameters)
        return session_id

    def credential(self, session_id: str) -> Credential | None:
        """Return what its token may do; None for a session that has ended or never was."""
        with self._connection() as connection:
            row = connection.execute(statement("session_credential"), {"session_hash": _hash(session_id)}).fetchone()
        if row is None:
            return None
        token_id, tenants, scopes = row
        return Credential(tenants=frozenset(tenants), scopes=frozenset(map(TokenScope, scopes)), token_id=token_id)

    def end(self, session_id: str) -> None:
        """End a session."""
        with self._connection() as connection:
            connection.execute(statement("delete_session"), {"session_hash": _hash(session_id)})

    @contextmanager
    def _connection(self) -> Generator[Connection]:
        try:
            with self._connect() as connection:
                yield connection
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise unreachable(error) from error


def _hash(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()
