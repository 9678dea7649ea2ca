"""Who may read: everybody where no tokens are configured, else the bearer of a token of scope read or admin.

A token of one tenant sees that tenant alone; what belongs to another is as if it did not exist.
"""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request

from cost_exporter.domain.value import value
from cost_exporter.errors import PermissionDenied
from cost_exporter.store.tokens import Credential, Scope

__all__ = ["OPEN", "Access", "Authenticate", "access_of", "everybody"]

_READING_SCOPES: Final = frozenset({Scope.READ, Scope.ADMIN})


@value
class Access:
    """What the sender of a request may see."""

    tenant: str | None
    """The only tenant; None for all of them."""


OPEN: Final = Access(tenant=None)
Authenticate = Callable[[str | None], Credential | None]
"""Takes the token, or None where the request has none; returns None where no tokens are configured.

`store.tokens.TokenDirectory` in a running service. Raises `Unauthenticated`.
"""


def everybody(token: str | None) -> None:
    """Let everybody see everything: for a loopback address without tokens."""
    del token


def access_of(request: Request, authenticate: Authenticate) -> Access:
    """Return what the sender of a request may see. Raises `Unauthenticated` or `PermissionDenied`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    credential = authenticate(token.strip() or None if scheme.lower() == "bearer" else None)
    if credential is None:
        return OPEN
    if credential.scope not in _READING_SCOPES:
        raise PermissionDenied(f"a token of scope {credential.scope} may not read; create one of scope read")
    return Access(tenant=credential.tenant)
