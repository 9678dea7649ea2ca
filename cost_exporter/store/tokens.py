"""Credentials: who may send for which tenant, and who may read. Stored hashed, shown once (semantics 27).

A token is 32 random bytes; of it the database holds only the SHA-256, which is enough to find it and useless to
whoever reads the table. A slow password hash would add nothing: nobody can guess 256 bits.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from cost_exporter.domain.value import value
from cost_exporter.errors import CallfareError, StoreUnavailable, Unauthenticated

__all__ = ["Credential", "Scope", "Token", "TokenDirectory", "create", "list_all", "lookup", "revoke"]

Connection = psycopg.Connection[TupleRow]
_PREFIX: Final = "cf_"
"""So that secret scanners and people recognise one."""
_TOKEN_BYTES: Final = 32


class Scope(StrEnum):
    """What a token may do for its tenant."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"
    RELAY = "relay"
    """A Collector that may state the tenant of what it relays."""


@value
class Credential:
    """Who shows a token."""

    tenant: str
    scope: Scope
    token_id: int = 0


@value
class Token:
    """A token as it is listed: everything but the token."""

    token_id: int
    tenant: str
    scope: Scope
    created_at: datetime
    revoked_at: datetime | None = None


def token_hash(token: str) -> bytes:
    """Return what the database holds of a token."""
    return hashlib.sha256(token.encode()).digest()


def create(connection: Connection, tenant: str, scope: Scope) -> str:
    """Return a new token. It cannot be shown again."""
    if not tenant.strip():
        raise CallfareError("a token needs a tenant: --tenant NAME")
    token = _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    connection.execute(
        "insert into callfare.token (token_hash, tenant_id, scope) values (%s, %s, %s)",
        (token_hash(token), tenant.strip(), scope.value),
    )
    return token


def list_all(connection: Connection) -> list[Token]:
    """Return every token ever created, the newest first."""
    found = connection.execute(
        "select token_id, tenant_id, scope, created_at, revoked_at from callfare.token order by token_id desc"
    )
    return [
        Token(token_id=token_id, tenant=tenant, scope=Scope(scope), created_at=created_at, revoked_at=revoked_at)
        for token_id, tenant, scope, created_at, revoked_at in found
    ]


def revoke(connection: Connection, token_id: int) -> bool:
    """Take a token out of force; return whether it was in force. The row stays, as evidence."""
    found = connection.execute(
        "update callfare.token set revoked_at = now() where token_id = %s and revoked_at is null", (token_id,)
    )
    return found.rowcount == 1


def lookup(connection: Connection, token: str) -> Credential | None:
    """Return who holds the token; None if nobody does, or no longer."""
    return _find(_in_force(connection)[0], token)


def _in_force(connection: Connection) -> tuple[dict[bytes, Credential], bool]:
    """Return the credentials in force by hash, and whether there ever was a token.

    Once there was one, an unknown sender stays unknown: revoking the last token must not open the door to all.
    """
    rows: Sequence[tuple[Any, ...]] = connection.execute(
        "select token_hash, tenant_id, scope, token_id, revoked_at is null from callfare.token"
    ).fetchall()
    in_force = {
        bytes(hashed): Credential(tenant=tenant, scope=Scope(scope), token_id=token_id)
        for hashed, tenant, scope, token_id, is_in_force in rows
        if is_in_force
    }
    return in_force, bool(rows)


def _find(known: Mapping[bytes, Credential], token: str) -> Credential | None:
    """Return who holds the token. Found by its hash, so that the time it takes tells nothing about the token."""
    return known.get(token_hash(token))


class TokenDirectory:
    """Tells who shows a token, from memory, at most a moment behind the database. Thread-safe.

    While the database is away, the tokens last seen stay in force: otherwise a sender would take a failing
    database for a refusal and drop its data.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Connection]],
        *,
        seconds_max: float = 1.0,
        monotonic_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`connect` lends a connection; `seconds_max` is how far behind the directory may be."""
        self._connect = connect
        self._seconds_max = seconds_max
        self._monotonic_seconds = monotonic_seconds
        self._lock = threading.Lock()
        self._known: dict[bytes, Credential] = {}
        self._has_tokens = False
        self._read_at_seconds: float | None = None

    def __call__(self, token: str | None) -> Credential | None:
        """Return who shows the token; None where no tokens are configured. Raises `Unauthenticated`."""
        self._refresh()
        if not self._has_tokens:
            return None
        if token is None:
            raise Unauthenticated("a token is needed: send `authorization: Bearer TOKEN`")
        credential = _find(self._known, token)
        if credential is None:
            raise Unauthenticated("the token is unknown or revoked; create one with `callfare token create`")
        return credential

    @property
    def has_tokens(self) -> bool:
        """Whether tokens are configured: outside addresses need them."""
        self._refresh()
        return self._has_tokens

    def _refresh(self) -> None:
        """Read the tokens again if it is time. One thread does; the others go on with what is known."""
        is_first = self._read_at_seconds is None
        if not (is_first or self._is_due()) or not self._lock.acquire(blocking=is_first):
            return
        try:
            if self._read_at_seconds is None or self._is_due():
                self._read()
        finally:
            self._lock.release()

    def _is_due(self) -> bool:
        return self._monotonic_seconds() - (self._read_at_seconds or 0.0) >= self._seconds_max

    def _read(self) -> None:
        try:
            with self._connect() as connection:
                self._known, self._has_tokens = _in_force(connection)
        except (psycopg.OperationalError, StoreUnavailable) as error:
            if self._read_at_seconds is None:
                raise StoreUnavailable("cannot read the tokens: the database is away; try again") from error
        self._read_at_seconds = self._monotonic_seconds()
