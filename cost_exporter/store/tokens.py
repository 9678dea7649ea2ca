"""Credentials: who may send for which tenant, and who may read. Stored hashed, shown once (rule 27).

A token is 32 random bytes. The database holds only its SHA-256, which is enough to find it and useless to a reader of
the table. A slow password hash would add nothing: nobody can guess 256 bits.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from cost_exporter.errors import CallfareError
from cost_exporter.store.database.statements import statement

__all__ = [
    "ALL_TENANTS",
    "Connection",
    "Credential",
    "Token",
    "TokenScope",
    "create",
    "in_force",
    "list_all",
    "revoke",
    "token_hash",
]

Connection = psycopg.Connection[TupleRow]
_PREFIX: Final = "cf_"
"""So that secret scanners and people recognise one."""
_TOKEN_BYTES: Final = 32
ALL_TENANTS: Final = "*"
"""The tenant of a token that reads every tenant."""


class TokenScope(StrEnum):
    """What a token may do for its tenant."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"
    RELAY = "relay"
    """A Collector that may state the tenant of what it relays."""
    METRICS = "metrics"
    """Prometheus: /metrics, with the totals of every tenant, and nothing else."""


_READING_SCOPES: Final = frozenset({TokenScope.READ, TokenScope.ADMIN, TokenScope.METRICS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """The tenant and scope of a token."""

    tenant: str
    scope: TokenScope
    token_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as it is listed: everything but the token."""

    token_id: int
    tenant: str
    scope: TokenScope
    created_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None


def token_hash(token: str) -> bytes:
    """Return what the database holds of a token."""
    return hashlib.sha256(token.encode()).digest()


def create(connection: Connection, tenant: str, scope: TokenScope, expires_at: datetime | None = None) -> str:
    """Return a new token. It cannot be shown again."""
    if not tenant.strip():
        raise CallfareError("a token needs a tenant: --tenant NAME")
    if tenant.strip() == ALL_TENANTS and scope not in _READING_SCOPES:
        raise CallfareError(f"a token of scope {scope} is for one tenant: --tenant NAME; only readers may have '*'")
    token = _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    connection.execute(
        statement("insert_token"),
        {
            "token_hash": token_hash(token),
            "tenant": tenant.strip(),
            "scope": scope.value,
            "expires_at": expires_at,
        },
    )
    return token


def list_all(connection: Connection) -> list[Token]:
    """Return every token ever created, the newest first."""
    found = connection.execute(statement("tokens"))
    return [
        Token(
            token_id=token_id,
            tenant=tenant,
            scope=TokenScope(scope),
            created_at=created_at,
            revoked_at=revoked_at,
            expires_at=expires_at,
        )
        for token_id, tenant, scope, created_at, revoked_at, expires_at in found
    ]


def revoke(connection: Connection, token_id: int) -> bool:
    """Take a token out of force; return whether it was in force. The row stays, as evidence."""
    return connection.execute(statement("revoke_token"), {"token_id": token_id}).rowcount == 1


def in_force(connection: Connection) -> tuple[dict[bytes, Credential], bool]:
    """Return the credentials in force by hash, and whether there ever was a token.

    Once there was one, an unknown sender stays unknown: neither revoking the last token nor losing the table's
    rows may open the door to all.
    """
    rows: Sequence[tuple[Any, ...]] = connection.execute(statement("token_hashes")).fetchall()
    credentials = {
        bytes(hashed): Credential(tenant=tenant, scope=TokenScope(scope), token_id=token_id)
        for hashed, tenant, scope, token_id, is_in_force in rows
        if is_in_force
    }
    return credentials, bool(rows) or connection.execute(statement("token_ever")).fetchone() is not None
