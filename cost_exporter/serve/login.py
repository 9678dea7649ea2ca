"""The login page: a person shows a token that may read, and the browser gets a session for it.

The session's id is new at each login, so that one that somebody planted before is worth nothing after it.
"""

import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cost_exporter.errors import PermissionDenied, Unauthenticated
from cost_exporter.serve.answers import BadRequest
from cost_exporter.serve.attempts import Attempts
from cost_exporter.serve.pages.render import PAGE_HEADERS, page
from cost_exporter.serve.scopes import READING_SCOPES
from cost_exporter.serve.session import end_cookie, require_own_page, session_credential, session_id_of, set_cookie
from cost_exporter.store.token_directory import Authenticate
from cost_exporter.store.tokens import Credential
from cost_exporter.store.web_sessions import WebSessions

__all__ = ["LoginPages", "login_page"]

_FORM_BYTES_MAX: Final = 8_192
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_audit: Final = logging.getLogger("cost_exporter.audit")


class LoginPages:
    """The routes `/login` and `/logout`."""

    def __init__(
        self, authenticate: Authenticate, sessions: WebSessions, *, is_local: bool, attempts: Attempts | None = None
    ) -> None:
        """`is_local` where only this machine can connect: its cookie may travel without TLS."""
        self._authenticate = authenticate
        self._sessions = sessions
        self._is_local = is_local
        self._attempts = attempts or Attempts()
        self.routes = [
            Route("/login", self._show, methods=["GET"]),
            Route("/login", self._log_in, methods=["POST"]),
            Route("/logout", self._log_out, methods=["POST"]),
        ]

    def _show(self, request: Request) -> Response:
        return login_page(next_path=request.query_params.get("next"), credential=session_credential(request))

    async def _log_in(self, request: Request) -> Response:
        form = await _form(request)
        return await run_in_threadpool(self._answer, request, form.get("token", "").strip(), form.get("next"))

    def _answer(self, request: Request, token: str, next_path: str | None) -> Response:
        address = "" if request.client is None else request.client.host
        if (wait_seconds := self._attempts.wait_seconds(address)) > 0:
            message = "Too many failed attempts from your address. Try again in a minute."
            headers = {"Retry-After": str(int(wait_seconds) + 1)}
            return login_page(next_path=next_path, message=message, status=429, headers=headers)
        if request.headers.get("origin") is not None:
            require_own_page(request)
        try:
            credential = self._reader(token)
        except (Unauthenticated, PermissionDenied) as error:
            self._attempts.failed(address)
            status = 401 if isinstance(error, Unauthenticated) else 403
            return login_page(next_path=next_path, message=str(error), status=status)
        session_id = self._sessions.begin(credential.token_id, replaced=session_id_of(request))
        _audit.info("token %d logs in to the pages", credential.token_id)
        response = RedirectResponse(_own_path(next_path), 303, headers=PAGE_HEADERS)
        set_cookie(response, session_id, is_secure=not self._is_local or request.url.scheme == "https")
        return response

    def _reader(self, token: str) -> Credential:
        """Return the credential of a token that may read."""
        credential = self._authenticate(token)
        if credential is None:
            raise Unauthenticated("no token is needed here: nobody has made one")
        if not credential.may(*READING_SCOPES):
            raise PermissionDenied(f"a token of {credential.what_it_may} may not read; create one of scope read")
        return credential

    def _log_out(self, request: Request) -> Response:
        require_own_page(request)
        session_id = session_id_of(request)
        if session_id is not None:
            self._sessions.end(session_id)
        response = RedirectResponse("/login", 303, headers=PAGE_HEADERS)
        end_cookie(response)
        return response


def login_page(
    *,
    next_path: str | None,
    credential: Credential | None = None,
    message: str | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the page with the form; with a way out where there is a session."""
    tenants = None if credential is None else sorted(credential.tenants)
    content = {"next_path": _own_path(next_path), "message": message, "tenants": tenants}
    response = page("login.html", "/login", content, status)
    response.headers.update(headers or {})
    return response


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a small form. Raises `BadRequest`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise BadRequest(f"send the form as {_FORM_TYPE}")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES_MAX:
            raise BadRequest("the form is too long; a token has some 50 characters")
    fields = parse_qs(body.decode("latin-1"), max_num_fields=10)
    return {name: values[-1] for name, values in fields.items()}


def _own_path(path: str | None) -> str:
    """Return a path of this address to go on to; `/` for anything that leads elsewhere."""
    if not path or not path.startswith("/") or path.startswith(("//", "/login", "/logout")):
        return "/"
    is_plain = path.isascii() and path.isprintable() and "\\" not in path
    return path if is_plain else "/"
