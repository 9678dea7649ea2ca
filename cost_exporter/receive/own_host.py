"""Refuse requests on a loopback address that name another host: a web page elsewhere sent them.

A page whose name is made to resolve to 127.0.0.1 (DNS rebinding) may otherwise read the answers, because to the
browser they come from the page's own origin. Its requests still carry the page's name in the `Host` header.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["OwnHostOnly", "is_own_host"]

_LOCAL_NAMES: Final = frozenset({"localhost", "host.docker.internal"})
"""The second is what containers call the machine they run on; no public name can end in `.internal`."""


class OwnHostOnly:
    """Passes on to the application what is addressed to this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 where the `Host` header names another machine."""
        hosts = [text.decode("latin-1") for name, text in scope["headers"] if name == b"host"]
        if all(is_own_host(host) for host in hosts):
            await self._app(scope, receive, send)
            return
        message = "the Host header names another machine; call 127.0.0.1, or let your proxy send `Host: localhost`"
        error = {"code": "permission_denied", "message": message}
        await JSONResponse({"success": False, "error": error}, 403)(scope, receive, send)


def is_own_host(host: str) -> bool:
    """Return whether a `Host` header names this machine: a loopback address or a name for it, with any port."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return False
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
