"""Read access: open where no tokens are configured, else for the bearer of a token of scope read or admin.

A token of some tenants sees those alone; what belongs to another is as if it did not exist. A token of all tenants
sees everything, and each of its reads is logged.
"""

import logging
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from cost_exporter.domain.cost import DEFAULT_TENANT
from cost_exporter.errors import PermissionDenied
from cost_exporter.serve.answers import NotFound
from cost_exporter.serve.scopes import CALLING_SCOPES, READING_SCOPES
from cost_exporter.serve.session import session_credential
from cost_exporter.store.token_directory import Authenticate, bearer_token
from cost_exporter.store.tokens import Credential, TokenScope

__all__ = ["OPEN", "Access", "Caller", "access_of", "caller_of", "require_admin", "require_metrics_scope"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The tenants that the sender of a request may read."""

    tenants: frozenset[str] | None
    """The only tenants; None for all of them."""

    @property
    def tenant(self) -> str | None:
        """The only tenant; None where there are several, to which a reader is then limited."""
        return next(iter(self.tenants)) if self.tenants is not None and len(self.tenants) == 1 else None

    def sees(self, tenant: str) -> bool:
        """Return whether this tenant may be seen."""
        return self.tenants is None or tenant in self.tenants


_audit: Final = logging.getLogger("cost_exporter.audit")
OPEN: Final = Access(tenants=None)


def _credential_of(request: Request, authenticate: Authenticate) -> Credential | None:
    """Return the credential of the bearer, or of the browser's session; None where none is needed."""
    token = bearer_token(*request.headers.getlist("authorization"))
    credential = session_credential(request) if token is None else None
    return credential or authenticate(token)


def access_of(request: Request, authenticate: Authenticate) -> Access:
    """Return what the sender of a request may see. Raises `Unauthenticated` or `PermissionDenied`."""
    credential = _credential_of(request, authenticate)
    if credential is None:
        return OPEN
    if not credential.may(*READING_SCOPES):
        raise PermissionDenied(f"a token of {credential.what_it_may} may not read; create one of scope read")
    if credential.is_of_all_tenants:
        _audit.info("token %d reads across tenants: %s %s", credential.token_id, request.method, request.url.path)
        return OPEN
    return Access(tenants=credential.tenants)


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
    credential = _credential_of(request, authenticate)
    if credential is None:
        return Caller(tenant=stated_tenant or DEFAULT_TENANT, namespace=DEFAULT_TENANT, only_namespace=DEFAULT_TENANT)
    if not credential.may(*CALLING_SCOPES):
        raise PermissionDenied(
            f"a token of {credential.what_it_may} may not reserve; use the one that the application sends spans with"
        )
    if credential.is_of_all_tenants or (credential.may(TokenScope.RELAY) and stated_tenant):
        tenant = stated_tenant or DEFAULT_TENANT
        return Caller(tenant=tenant, namespace=tenant, only_namespace=None)
    tenant = stated_tenant or _only_tenant(credential)
    if tenant not in credential.tenants:
        raise NotFound
    return Caller(tenant=tenant, namespace=tenant, only_namespace=tenant)


def require_admin(request: Request, authenticate: Authenticate) -> str | None:
    """Return the tenant whose budgets the sender may change, None for all. Raises `PermissionDenied`."""
    credential = _credential_of(request, authenticate)
    if credential is None:
        return None
    if not credential.may(TokenScope.ADMIN):
        raise PermissionDenied(f"a token of {credential.what_it_may} may not change budgets; create one of scope admin")
    _audit.info("token %d changes budgets: %s %s", credential.token_id, request.method, request.url.path)
    return None if credential.is_of_all_tenants else _only_tenant(credential)


def _only_tenant(credential: Credential) -> str:
    """Return the tenant of a token. Raises `PermissionDenied` where it has several: one cannot be chosen for it."""
    if len(credential.tenants) > 1:
        raise PermissionDenied("a token of several tenants does not say whose budget it is; use one of one tenant")
    return credential.namespace


def require_metrics_scope(request: Request, authenticate: Authenticate, *, is_local: bool) -> None:
    """Raise `Unauthenticated` or `PermissionDenied` unless the sender may see the metrics of all tenants.

    On loopback no token is needed; one that is presented must still be one for metrics.
    """
    token = bearer_token(*request.headers.getlist("authorization"))
    if token is None and is_local:
        return
    credential = authenticate(token)
    if credential is not None and not credential.may(TokenScope.METRICS):
        raise PermissionDenied(
            f"a token of {credential.what_it_may} may not read metrics, which show every tenant;"
            " create one of scope metrics"
        )
