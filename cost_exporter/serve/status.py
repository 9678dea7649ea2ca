"""Health, readiness and metrics: the part of the web address that every process of the service has."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cost_exporter.errors import CallfareError, PermissionDenied, StoreError, Unauthenticated
from cost_exporter.serve.access import require_metrics_scope
from cost_exporter.serve.metrics import CONTENT_TYPE, ServiceMetrics
from cost_exporter.serve.readiness import Readiness
from cost_exporter.store.reading import Reader
from cost_exporter.store.token_directory import Authenticate

__all__ = ["create_status_app"]

_STATUS: Final[dict[type[CallfareError], int]] = {Unauthenticated: 401, PermissionDenied: 403, StoreError: 503}


def create_status_app(
    *,
    lend: Callable[[], AbstractContextManager[Reader]],
    metrics: ServiceMetrics,
    authenticate: Authenticate,
    is_local: bool,
    is_receiving: Callable[[], bool],
    not_receiving: str,
) -> Starlette:
    """Return an application that answers these three and nothing else, in plain text.

    `not_receiving` is the answer where the database is there and `is_receiving` says no.
    """
    readiness = Readiness(lend, is_receiving, not_receiving=not_receiving)

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        problem = await readiness.problem()
        return PlainTextResponse(f"{problem or 'ready'}\n", 503 if problem else 200)

    def metrics_text(request: Request) -> Response:
        try:
            require_metrics_scope(request, authenticate, is_local=is_local)
        except CallfareError as error:
            status = next(number for kind, number in _STATUS.items() if isinstance(error, kind))
            return PlainTextResponse(f"{error}\n", status)
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return Starlette(routes=[Route("/healthz", health), Route("/readyz", ready), Route("/metrics", metrics_text)])
