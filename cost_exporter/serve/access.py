"""Read access: open where no tokens are configured, else for the bearer of a token of scope read or admin.

A token of one tenant sees that tenant alone; what belongs to another is as if it did not exist. A token of all
tenants sees everything, and each of its reads is logged.
"""

import logging
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from cost_exporter.domain.cost import DEFAULT_TENANT
from cost_exporter.errors import PermissionDenied
from cost_exporter.serve.answers import NotFound
from cost_exporter.store.token_directory import Authenticate, bearer_token
from cost_exporter.store.tokens import ALL_TENANTS, TokenScope

__all__ = ["OPEN", "Access", "Caller", "access_of", "caller_of", "require_admin", "require_metrics_scope"]

_CALLING_SCOPES: Final = frozenset({TokenScope.INGEST, TokenScope.RELAY, TokenScope.ADMIN})
_READING_SCOPES: Final = frozenset({TokenScope.READ, TokenScope.ADMIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The tenants that the sender of a request may read."""

    tenant: str | None
    """The only tenant; None for all of them."""


_audit: Final = logging.getLogger("cost_exporter.audit")
OPEN: Final = Access(tenant=None)


def access_of(request: Request, authenticate: Authenticate) -> Access:
    """Return what the sender of a request may see. Raises `Unauthenticated` or `PermissionDenied`."""
    credential = authenticate(bearer_token(*request.headers.getlist("authorization")))
    if credential is None:
        return OPEN
    if credential.scope not in _READING_SCOPES:
        raise PermissionDenied(f"a token of scope {credential.scope} may not read; create one of scope read")
    if credential.tenant == ALL_TENANTS:
        _audit.info("token %d reads across tenants: %s %s", credential.token_id, request.method, request.url.path)
        return OPEN
    return Access(tenant=credential.tenant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An application that asks its budgets."""

    tenant: str
    namespace: str
    """The credential whose spans may claim what it reserves."""
    only_namespace: str | None
    """The credential whose reservations it may settle; None for those of all."""


def caller_of(request: Request, authenticate: Authenticate, stated_tenant: str | None) -> Caller:
    """Return whose call it is, as for the span that will report it: the token says, without tokens the body.

    Raises `Unauthenticated`, `PermissionDenied`, or `NotFound` for another tenant's.
    """
    credential = authenticate(bearer_token(*request.headers.getlist("authorization")))
    if credential is None:
        return Caller(tenant=stated_tenant or DEFAULT_TENANT, namespace=DEFAULT_TENANT, only_namespace=DEFAULT_TENANT)
    if credential.scope not in _CALLING_SCOPES:
        raise PermissionDenied(
            f"a token of scope {credential.scope} may not reserve; use the one that the application sends spans with"
        )
    if credential.tenant == ALL_TENANTS or (credential.scope is TokenScope.RELAY and stated_tenant):
        tenant = stated_tenant or DEFAULT_TENANT
        return Caller(tenant=tenant, namespace=tenant, only_namespace=None)
    if stated_tenant not in {None, credential.tenant}:
        raise NotFound
    return Caller(tenant=credential.tenant, namespace=credential.tenant, only_namespace=credential.tenant)


def require_admin(request: Request, authenticate: Authenticate) -> str | None:
    """Return the tenant whose budgets the sender may change, None for all. Raises `PermissionDenied`."""
    credential = authenticate(bearer_token(*request.headers.getlist("authorization")))
    if credential is None:
        return None
    if credential.scope is not TokenScope.ADMIN:
        raise PermissionDenied(f"a token of scope {credential.scope} may not change budgets; create one of scope admin")
    _audit.info("token %d changes budgets: %s %s", credential.token_id, request.method, request.url.path)
    return None if credential.tenant == ALL_TENANTS else credential.tenant


def require_metrics_scope(request: Request, authenticate: Authenticate, *, is_local: bool) -> None:
    """Raise `Unauthenticated` or `PermissionDenied` unless the sender may see the metrics of all tenants.

    On loopback no token is needed; one that is presented must still be one for metrics.
    """
    token = bearer_token(*request.headers.getlist("authorization"))
    if token is None and is_local:
        return
    credential = authenticate(token)
    if credential is not None and credential.scope is not TokenScope.METRICS:
        raise PermissionDenied(
            f"a token of scope {credential.scope} may not read metrics, which show every tenant;"
            " create one of scope metrics"
        )
