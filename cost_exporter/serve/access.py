"""Who may read: everybody on a loopback address without tokens, else the bearer of a token.

A token of one tenant sees that tenant alone; what belongs to another is as if it did not exist.
"""

from collections.abc import Callable

from starlette.requests import Request

from cost_exporter.domain.value import value

__all__ = ["OPEN", "Access", "Authenticate", "Denied", "everybody"]


@value
class Access:
    """What the bearer may see."""

    tenant: str | None
    """The only tenant; None for all of them."""


OPEN = Access(tenant=None)
Authenticate = Callable[[str | None], Access]
"""Takes the token, or None where the request has none. Raises `Denied`."""


class Denied(Exception):
    """No token, an unknown one, or one without the scope."""

    def __init__(self, http_status: int, code: str, message: str) -> None:
        """Take what is answered."""
        super().__init__(message)
        self.http_status = http_status
        self.code = code


def everybody(token: str | None) -> Access:
    """Let everybody see everything: for a loopback address without tokens."""
    del token
    return OPEN


def access_of(request: Request, authenticate: Authenticate) -> Access:
    """Return what the sender of a request may see. Raises `Denied`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return authenticate(token.strip() if scheme.lower() == "bearer" and token else None)
