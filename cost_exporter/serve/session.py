"""The session of a browser: its cookie, and that a request which changes something comes from our own page.

The cookie holds a random id and nothing else; scripts cannot read it (HttpOnly), other sites cannot send it with a form
(SameSite), and outside loopback or behind TLS it travels encrypted only (Secure). Its name begins with `__Host-` then,
so that no other host of the domain can set it.
"""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from cost_exporter.errors import PermissionDenied
from cost_exporter.store.tokens import Credential
from cost_exporter.store.web_sessions import SESSION_LASTS, WebSessions

__all__ = ["end_cookie", "require_own_page", "session_credential", "session_id_of", "set_cookie"]

_NAME: Final = "callfare_session"
_SECURE_NAME: Final = f"__Host-{_NAME}"
_READING_METHODS: Final = frozenset({"GET", "HEAD"})
_ID_LENGTH_MAX: Final = 100


def session_id_of(request: Request) -> str | None:
    """Return the id in the request's cookie."""
    session_id = request.cookies.get(_SECURE_NAME) or request.cookies.get(_NAME)
    return session_id if session_id and len(session_id) <= _ID_LENGTH_MAX and session_id.isascii() else None


def session_credential(request: Request) -> Credential | None:
    """Return the credential of the browser's session; None where there is no session in force.

    Raises `PermissionDenied` for a request that changes something and does not come from a page of ours.
    """
    sessions, session_id = _sessions(request), session_id_of(request)
    if sessions is None or session_id is None:
        return None
    credential = sessions.credential(session_id)
    if credential is not None and request.method not in _READING_METHODS:
        require_own_page(request)
    return credential


def require_own_page(request: Request) -> None:
    """Raise `PermissionDenied` unless the request comes from a page of this address, as browsers say it."""
    origin = request.headers.get("origin")
    if origin is not None:
        if urlsplit(origin).netloc == request.headers.get("host"):
            return
    elif request.headers.get("sec-fetch-site") == "same-origin":
        return
    raise PermissionDenied("this form was sent from another site; open the page here and send it again")


def set_cookie(response: Response, session_id: str, *, is_secure: bool) -> None:
    """Give the browser its session."""
    response.set_cookie(
        _SECURE_NAME if is_secure else _NAME,
        session_id,
        max_age=int(SESSION_LASTS.total_seconds()),
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="lax",
    )


def end_cookie(response: Response) -> None:
    """Let the browser forget its session."""
    response.delete_cookie(_NAME, path="/", httponly=True, samesite="lax")
    response.delete_cookie(_SECURE_NAME, path="/", secure=True, httponly=True, samesite="lax")


def _sessions(request: Request) -> WebSessions | None:
    app = request.scope.get("app")
    return None if app is None else getattr(app.state, "sessions", None)
