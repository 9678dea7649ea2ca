"""ASGI middleware: the API key and tenant of a request become the account of everything it causes.

    app = CallfareMiddleware(app)                                        # header x-callfare-api-key-id, or
    app = CallfareMiddleware(app, api_key_header="x-unkey-key-id", tenant_header="x-tenant")

Behind a verifier such as Unkey, which leaves its answer in the request's state (`request.state.keyId`), that is
taken first: it was verified, a header was only sent. The verifier may run before or after us, and be a dependency
of the route as well: what it finds holds for every span from then on, and for the server's. Only ids belong here,
never the secret key itself: a value that looks like a key (`sk-...`, `Bearer ...`) is ignored. Trust the tenant
header only where a proxy sets it; it is read only if you name it. Whether a caller may state an account by baggage is
up to CALLFARE_TRUST_BAGGAGE.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final
from uuid import UUID

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import Span

from callfare import attributes as names
from callfare.account import with_attribution, with_request
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
        """Handle one connection with its attribution."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})  # before anybody copies the scope: what is verified further in is seen here
        sent = self._sent(scope) or {}

        def account() -> dict[str, str]:
            return {**sent, **(_verified(scope) or {})}

        at_entry = account()
        server = trace.get_current_span()
        token = context_api.attach(with_request(account, with_attribution(at_entry)))
        _write(server, at_entry)

        async def send_on(message: Any) -> None:
            if not message.get("more_body"):
                _write(server, account())  # now: with the last message its instrumentation ends the span
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            context_api.detach(token)
            _write(server, account())

    @quietly
    def _sent(self, scope: _Scope) -> dict[str, str]:
        headers = dict(scope.get("headers") or ())
        return {
            name: value
            for name, header in self._headers.items()
            if (value := _id(headers.get(header, b"").decode("latin-1")))
        }


@quietly
def _write(server: Span, account: Mapping[str, str]) -> None:
    """The server's span began before us: it gets the account as well, for spans that only have it as ancestor."""
    if server.is_recording():
        server.set_attributes(account)


@quietly
def _verified(scope: _Scope) -> dict[str, str]:
    state = scope.get("state")
    return {name: value for name in _STATE_KEYS if (value := _from_state(state, name))}


def _from_state(state: Any, name: str) -> str:
    for key in _STATE_KEYS[name]:
        value = state.get(key) if isinstance(state, Mapping) else getattr(state, key, None)
        if isinstance(value, (str, int, UUID)) and not isinstance(value, bool) and (id_ := _id(str(value))):
            return id_
    return ""


def _id(value: str) -> str:
    """Nothing for what looks like a secret: it must not get onto a span."""
    value = value.strip()
    return "" if value.lower().startswith(_SECRET_STARTS) else value
