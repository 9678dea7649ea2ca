"""The web application: health, readiness, metrics, API and pages on one address.

No answer is a 500 without an explanation: an unreachable database is 503 with how to fix it, a mistake of the caller
400, and what the caller may not see 404.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.errors import CallfareError, PermissionDenied, StoreError, Unauthenticated
from cost_exporter.prices import load_book
from cost_exporter.serve.access import require_metrics_scope
from cost_exporter.serve.answers import BadRequest, NotFound, failure
from cost_exporter.serve.api.budgets import budgets_router
from cost_exporter.serve.api.catalogue import catalogue_router
from cost_exporter.serve.api.costs import costs_router
from cost_exporter.serve.api.description import DESCRIPTION, docs_routes
from cost_exporter.serve.api.periods import periods_router
from cost_exporter.serve.api.workflows import workflows_router
from cost_exporter.serve.assets import asset_routes
from cost_exporter.serve.attempts import Attempts
from cost_exporter.serve.login import LoginPages, login_page
from cost_exporter.serve.metrics import CONTENT_TYPE, ServiceMetrics
from cost_exporter.serve.pages.render import error_page, wants_page
from cost_exporter.serve.pages.routes import page_routes
from cost_exporter.serve.readiness import Readiness
from cost_exporter.serve.web import LendBudgets, LendReader, Web, no_budgets
from cost_exporter.store.token_directory import Authenticate, anyone
from cost_exporter.store.web_sessions import WebSessions

__all__ = ["create_app"]

_RETRY_AFTER_SECONDS = 2
_log = logging.getLogger(__name__)


def create_app(
    *,
    lend: LendReader,
    lend_budgets: LendBudgets = no_budgets,
    metrics: ServiceMetrics,
    lend_stream: LendReader | None = None,
    book: Callable[[], PriceBook] = load_book,
    jaeger_url: str | None = None,
    authenticate: Authenticate = anyone,
    sessions: WebSessions | None = None,
    attempts: Attempts | None = None,
    is_local: bool = True,
    today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    is_receiving: Callable[[], bool] = lambda: True,
) -> FastAPI:
    """Return the application; `is_local` where only this machine can reach it.

    `is_receiving` is whether spans can be taken, apart from the database. Routes that read are plain functions: FastAPI
    runs them in threads, off the event loop.
    With `sessions`, a browser can log in with a token.
    """
    readiness = Readiness(lambda: lend(None), is_receiving)

    # Both on the event loop: the threads may all wait for a database that hangs.
    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(request: Request) -> Response:
        problem = await readiness.problem()
        return _away(request, problem) if problem else PlainTextResponse("ready\n")

    def metrics_text(request: Request) -> Response:
        require_metrics_scope(request, authenticate, is_local=is_local)
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    web = Web(
        lend=lend,
        lend_budgets=lend_budgets,
        count_exceeded=metrics.budget_exceeded,
        lend_stream=lend_stream or lend,
        book=book,
        authenticate=authenticate,
        today=today,
        jaeger_url=jaeger_url,
    )
    login = None if sessions is None else LoginPages(authenticate, sessions, is_local=is_local, attempts=attempts)
    app = FastAPI(
        **DESCRIPTION,
        routes=[
            Route("/healthz", health),
            Route("/readyz", ready),
            Route("/metrics", metrics_text),
            *asset_routes(),
            *docs_routes(),
            *page_routes(web),
            *([] if login is None else login.routes),
        ],
    )
    if sessions is not None:
        app.state.sessions = sessions
    for kind, respond in _RESPONSES.items():
        app.add_exception_handler(kind, respond)
    for router in (costs_router, workflows_router, catalogue_router, periods_router, budgets_router):
        app.include_router(router(web))
    return app


def _refusal(
    request: Request, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return what a person's browser shows as a page and a program reads as JSON."""
    if wants_page(request):
        return error_page(status, message, headers)
    return JSONResponse(failure(code, message), status, headers=headers)


def _unauthenticated(request: Request, error: Exception) -> Response:
    if wants_page(request) and hasattr(request.app.state, "sessions"):
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return login_page(next_path=path, status=401)
    return _refusal(request, 401, "unauthenticated", str(error), {"WWW-Authenticate": "Bearer"})


def _permission_denied(request: Request, error: Exception) -> Response:
    return _refusal(request, 403, "permission_denied", str(error))


def _not_found(request: Request, error: Exception) -> Response:
    del error
    return _refusal(request, 404, "not_found", "there is no such thing here")


def _bad_request(request: Request, error: Exception) -> Response:
    return _refusal(request, 400, "bad_request", str(error))


def _not_readable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = " ".join(str(part) for part in first["loc"][1:])
    if not where:  # the body as a whole: curl's -d sends it as a form
        return _refusal(
            request, 400, "bad_request", "send the body as JSON, with the header Content-Type: application/json"
        )
    return _refusal(request, 400, "bad_request", f"{where}: {first['msg']}")


def _store_away(request: Request, error: Exception) -> Response:
    assert isinstance(error, CallfareError)
    return _away(request, str(error))


def _away(request: Request, problem: str) -> Response:
    headers = {"Retry-After": str(_RETRY_AFTER_SECONDS)}
    return _refusal(request, 503, "database_unavailable", problem, headers)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "not_found" if error.status_code == 404 else "http_error"  # noqa: PLR2004 - HTTP's number
    return _refusal(request, error.status_code, code, str(error.detail), error.headers)


def _our_fault(request: Request, error: Exception) -> Response:
    _log.error("a request to the web address failed: %s", type(error).__name__, exc_info=error)
    return _refusal(request, 500, "our_fault", "callfare failed here; its log says why")


_RESPONSES: Final[dict[type[Exception], Callable[[Request, Exception], Response]]] = {
    Unauthenticated: _unauthenticated,
    PermissionDenied: _permission_denied,
    NotFound: _not_found,
    BadRequest: _bad_request,
    RequestValidationError: _not_readable,
    StoreError: _store_away,
    HTTPException: _http_error,
    Exception: _our_fault,
}
