"""Which scope a token needs for which address. The reference is made from it; a test tries each scope on each route."""

from typing import Final

from cost_exporter.store.tokens import TokenScope

__all__ = ["CALLING_SCOPES", "READING_SCOPES", "scopes_of"]

READING_SCOPES: Final = frozenset({TokenScope.READ, TokenScope.ADMIN})
CALLING_SCOPES: Final = frozenset({TokenScope.INGEST, TokenScope.RELAY, TokenScope.ADMIN})
"""Of applications that ask their budgets: they have a token to send spans with."""
_CHANGING_SCOPES: Final = frozenset({TokenScope.ADMIN})
_METRICS_SCOPES: Final = frozenset({TokenScope.METRICS})
_FOR_EVERYBODY: Final = frozenset(
    {"/healthz", "/readyz", "/openapi.json", "/docs", "/assets/{name:path}", "/login", "/logout"}
)


def scopes_of(method: str, path: str) -> frozenset[TokenScope] | None:
    """Return the scopes of which a token needs one for a route; None where nobody needs a token."""
    if path in _FOR_EVERYBODY:
        return None
    if path == "/metrics":
        return _METRICS_SCOPES
    return {"GET": READING_SCOPES, "POST": CALLING_SCOPES}.get(method, _CHANGING_SCOPES)
