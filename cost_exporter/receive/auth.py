"""The sender: from the bearer token to the namespace in which the request's spans are stored (rule 15)."""

from collections.abc import Iterable
from typing import Final

from cost_exporter.errors import PermissionDenied
from cost_exporter.receive.decoding.decode import SenderIdentity
from cost_exporter.store.token_directory import Authenticate, bearer_token
from cost_exporter.store.tokens import Credential, TokenScope

__all__ = ["TENANT_HEADER", "sender_of", "stated_tenant"]

TENANT_HEADER: Final = "x-callfare-tenant"
_TENANT_LENGTH_MAX: Final = 256


def sender_of(authenticate: Authenticate, authorization: Iterable[str], stated: str | None) -> SenderIdentity:
    """Return the sender that a request with these `Authorization` headers comes from.

    Raises `Unauthenticated`, `PermissionDenied` or `StoreUnavailable`.
    """
    credential = authenticate(bearer_token(*authorization))
    if credential is None:
        return SenderIdentity()
    if not credential.may(TokenScope.INGEST, TokenScope.RELAY):
        raise PermissionDenied(f"a token of {credential.what_it_may} may not send spans; create one of scope ingest")
    if credential.may(TokenScope.RELAY) and stated:
        return _identity(stated_tenant(stated), credential)
    return _identity(credential.namespace, credential)


def _identity(namespace: str, credential: Credential) -> SenderIdentity:
    # Each tenant that a relay states has a share of its own.
    share = f"{credential.token_id}/{namespace}"
    return SenderIdentity(namespace=namespace, tenant_is_trusted=False, credential=share)


def stated_tenant(stated: str) -> str:
    """Return the tenant that a relay states. Raises `PermissionDenied` where that is no name."""
    tenant = stated.strip()
    if not tenant or len(tenant) > _TENANT_LENGTH_MAX or not tenant.isprintable():
        raise PermissionDenied(f"{TENANT_HEADER} is not a tenant name: up to {_TENANT_LENGTH_MAX} printable characters")
    return tenant
