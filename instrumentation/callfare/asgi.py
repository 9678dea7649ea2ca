"""ASGI middleware: the API key and tenant of a request become the account of everything it causes.

    app = CallfareMiddleware(app)                                        # header x-callfare-api-key-id, or
    app = CallfareMiddleware(app, api_key_header="x-unkey-key-id", tenant_header="x-tenant")

Behind a verifier such as Unkey, which leaves its answer in the request's state (`request.state.keyId`), that is
taken first: it was verified, a header was only sent. Only ids belong here, never the secret key itself: a value
that looks like a key (`sk-...`, `Bearer ...`) is ignored. Trust the tenant header only where a proxy sets it;
it is read only if you name it.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from opentelemetry import context as context_api
from opentelemetry import trace

from callfare import attributes as names
from callfare.account import with_attribution
from callfare.guard import quietly

__all__ = ["CallfareMiddleware"]

_Scope = MutableMapping[str, Any]
_Application = Callable[[_Scope, Any, Any], Awaitable[None]]
_STATE_KEYS: Final = {
    names.API_KEY_ID: ("keyId", "key_id", "api_key_id"),
    names.TENANT_ID: ("tenant", "tenant_id", "tenantId"),
}
_SECRET_STARTS: Final = ("sk-", "sk_", "bearer ", "basic ")


class CallfareMiddleware:
    """Wraps an ASGI application; see the module."""

    def __init__(
        self,
        app: _Application,
        *,
        api_key_header: str = "x-callfare-api-key-id",
        tenant_header: str | None = None,
    ) -> None:
        """Name the headers that carry the ids; None reads none."""
        self._app = app
        self._headers = {
            name: header.lower().encode("latin-1")
            for name, header in ((names.API_KEY_ID, api_key_header), (names.TENANT_ID, tenant_header))
            if header
        }

    async def __call__(self, scope: _Scope, receive: Any, send: Any) -> None:
        """Handle one connection on its account."""
        account = self._account(scope) if scope["type"] in {"http", "websocket"} else None
        if not account:
            await self._app(scope, receive, send)
            return
        token = context_api.attach(with_attribution(account))
        _write_on_server_span(account)
        try:
            await self._app(scope, receive, send)
        finally:
            context_api.detach(token)

    @quietly
    def _account(self, scope: _Scope) -> dict[str, str | None]:
        headers = dict(scope.get("headers") or ())
        found: dict[str, str | None] = {}
        for name in (names.API_KEY_ID, names.TENANT_ID):
            value = _from_state(scope.get("state"), name) or _from_headers(headers, self._headers.get(name))
            if value:
                found[name] = value
        return found


@quietly
def _write_on_server_span(account: Mapping[str, str | None]) -> None:
    """The server's span began before us: it gets the account as well, for spans that only have it as ancestor."""
    span = trace.get_current_span()
    span.set_attributes({name: value for name, value in account.items() if value})


def _from_state(state: Any, name: str) -> str:
    for key in _STATE_KEYS[name]:
        value = state.get(key) if isinstance(state, Mapping) else getattr(state, key, None)
        if isinstance(value, str) and value:
            return value
    return ""


def _from_headers(headers: Mapping[bytes, bytes], header: bytes | None) -> str:
    value = headers.get(header, b"").decode("latin-1").strip() if header else ""
    return "" if value.lower().startswith(_SECRET_STARTS) else value
