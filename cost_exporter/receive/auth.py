"""Who sends: from the bearer token to the namespace in which the request's spans are stored (semantics 15)."""

from typing import Final, Protocol

from cost_exporter.errors import PermissionDenied
from cost_exporter.receive.decode import Sender
from cost_exporter.store.tokens import Credential, Scope

__all__ = ["TENANT_HEADER", "Authenticate", "anyone", "sender_of"]

TENANT_HEADER: Final = "x-callfare-tenant"
_TENANT_LENGTH_MAX: Final = 256


class Authenticate(Protocol):
    """Tells who shows a token: `store.tokens.TokenDirectory` in a running service."""

    def __call__(self, token: str | None) -> Credential | None:
        """Return the credential of a token; None where no tokens are configured.

        Raises `Unauthenticated` where tokens are configured and this is none of them, and `StoreUnavailable`
        where that cannot be told at the moment: a sender must not lose data because the database is away.
        """
        ...


def anyone(token: str | None) -> None:
    """Believe every sender: for loopback without tokens."""
    del token


def sender_of(authenticate: Authenticate, authorization: str | None, stated_tenant: str | None) -> Sender:
    """Return on whose account a request is. Raises `Unauthenticated`, `PermissionDenied` or `StoreUnavailable`."""
    credential = authenticate(_bearer_token(authorization))
    if credential is None:
        return Sender()
    if credential.scope not in (Scope.INGEST, Scope.RELAY):
        raise PermissionDenied(f"a token of scope {credential.scope} may not send spans; create one of scope ingest")
    if credential.scope is Scope.RELAY and stated_tenant:
        return Sender(namespace=_stated(stated_tenant), tenant_is_trusted=False)
    return Sender(namespace=credential.tenant, tenant_is_trusted=False)


def _bearer_token(authorization: str | None) -> str | None:
    kind, _, token = (authorization or "").strip().partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def _stated(tenant: str) -> str:
    tenant = tenant.strip()
    if not tenant or len(tenant) > _TENANT_LENGTH_MAX or not tenant.isprintable():
        raise PermissionDenied(f"{TENANT_HEADER} is not a tenant name: up to {_TENANT_LENGTH_MAX} printable characters")
    return tenant
