"""Credentials: who may send for which tenant, and who may read. Stored hashed, shown once (rule 27).

A token is 32 random bytes. The database holds only its SHA-256, which is enough to find it and useless to a reader of
the table. A slow password hash would add nothing: nobody can guess 256 bits.
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
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
    "write_last_use",
]

Connection = psycopg.Connection[TupleRow]
_PREFIX: Final = "cf_"
"""So that secret scanners and people recognise one."""
_TOKEN_BYTES: Final = 32
ALL_TENANTS: Final = "*"
"""The tenant of a token that reads every tenant."""


class TokenScope(StrEnum):
    """A right of a token for its tenants. It may have several."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"
    RELAY = "relay"
    """A Collector that may state the tenant of what it relays."""
    METRICS = "metrics"
    """Prometheus: /metrics, with the totals of every tenant, and nothing else."""


_SENDING_SCOPES: Final = frozenset({TokenScope.INGEST, TokenScope.RELAY})
_TENANT_LENGTH_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """The tenants and scopes of a token."""

    tenants: frozenset[str]
    scopes: frozenset[TokenScope]
    token_id: int = 0

    @property
    def namespace(self) -> str:
        """The tenant that its bearer sends for; a token that may send has one."""
        (tenant,) = self.tenants
        return tenant

    @property
    def is_of_all_tenants(self) -> bool:
        """Whether it reads every tenant."""
        return ALL_TENANTS in self.tenants

    @property
    def what_it_may(self) -> str:
        """Its scopes, for a message."""
        names = [scope.value for scope in TokenScope if scope in self.scopes]
        return f"{'scope' if len(names) == 1 else 'scopes'} {', '.join(names)}"

    def may(self, *scopes: TokenScope) -> bool:
        """Return whether it has one of these scopes."""
        return not self.scopes.isdisjoint(scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as it is listed: everything but the token."""

    token_id: int
    tenants: tuple[str, ...]
    scopes: tuple[TokenScope, ...]
    created_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    """A minute behind at most; None before its first use."""


def token_hash(token: str) -> bytes:
    """Return what the database holds of a token."""
    return hashlib.sha256(token.encode()).digest()


def create(
    connection: Connection,
    tenants: Iterable[str],
    scopes: Iterable[TokenScope],
    expires_at: datetime | None = None,
) -> str:
    """Return a new token. It cannot be shown again."""
    of, may = _checked(tenants, scopes)
    token = _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    connection.execute(
        statement("insert_token"),
        {"token_hash": token_hash(token), "tenants": of, "scopes": may, "expires_at": expires_at},
    )
    return token


def _checked(tenants: Iterable[str], scopes: Iterable[TokenScope]) -> tuple[list[str], list[str]]:
    """Return tenants and scopes in order, each once. Raises `CallfareError` where they do not go together."""
    of = sorted({tenant.strip() for tenant in tenants})
    may = [scope for scope in TokenScope if scope in set(scopes)]
    if not of or not all(of):
        raise CallfareError("a token needs a tenant: --tenant NAME")
    if not may:
        raise CallfareError("a token needs a scope: --scope read")
    for tenant in of:
        if len(tenant) > _TENANT_LENGTH_MAX or not tenant.isprintable():
            raise CallfareError(f"--tenant is no tenant's name; write up to {_TENANT_LENGTH_MAX} printable characters")
    if ALL_TENANTS in of and len(of) > 1:
        raise CallfareError("--tenant '*' is every tenant; leave out the others")
    sending = [scope for scope in may if scope in _SENDING_SCOPES]
    if sending and (len(of) > 1 or ALL_TENANTS in of):
        raise CallfareError(
            f"a token of scope {sending[0]} sends for one tenant: --tenant NAME; only readers may have several or '*'"
        )
    return of, [scope.value for scope in may]


def list_all(connection: Connection) -> list[Token]:
    """Return every token ever created, the newest first."""
    found = connection.execute(statement("tokens"))
    return [
        Token(
            token_id=token_id,
            tenants=tuple(tenants),
            scopes=tuple(map(TokenScope, scopes)),
            created_at=created_at,
            revoked_at=revoked_at,
            expires_at=expires_at,
            last_used_at=last_used_at,
        )
        for token_id, tenants, scopes, created_at, revoked_at, expires_at, last_used_at in found
    ]


def write_last_use(connection: Connection, used_at: Mapping[int, datetime]) -> None:
    """Keep when tokens were used; an older time changes nothing."""
    parameters = {"token_ids": list(used_at), "used_at": list(used_at.values())}
    connection.execute(statement("write_last_use"), parameters)


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
        bytes(hashed): Credential(
            tenants=frozenset(tenants), scopes=frozenset(map(TokenScope, scopes)), token_id=token_id
        )
        for hashed, tenants, scopes, token_id, is_in_force in rows
        if is_in_force
    }
    return credentials, bool(rows) or connection.execute(statement("token_ever")).fetchone() is not None
