"""The routes of the pages."""

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cost_exporter.serve.access import Access, access_of
from cost_exporter.serve.asked import trace_id_of
from cost_exporter.serve.pages.budgets import budgets_page
from cost_exporter.serve.pages.catalogue import prices_page, unpriced_page, unread_page
from cost_exporter.serve.pages.overview import overview
from cost_exporter.serve.pages.reconciled import reconciled_page
from cost_exporter.serve.pages.render import page
from cost_exporter.serve.pages.spend import spend_page
from cost_exporter.serve.pages.workflow import workflow_content
from cost_exporter.serve.pages.workflows import workflow_list
from cost_exporter.serve.session import session_id_of
from cost_exporter.serve.web import Web, find_workflows

__all__ = ["page_routes"]

Fill = Callable[[Web, Access, Request], dict[str, Any]]
_PAGES: Final[dict[str, tuple[str, Fill]]] = {
    "/": ("overview.html", lambda web, access, _: overview(web, access)),
    "/workflows": ("workflows.html", workflow_list),
    "/spend": ("spend.html", spend_page),
    "/budgets": ("budgets.html", budgets_page),
    "/unpriced": ("unpriced.html", unpriced_page),
    "/reconciled": ("reconciled.html", reconciled_page),
    "/unread": ("unread.html", unread_page),
    "/prices": ("prices.html", prices_page),
}


def page_routes(web: Web) -> list[Route]:
    """Return them: plain functions, which run in threads, off the event loop."""
    return [
        *(Route(path, _handler(web, path, template, fill)) for path, (template, fill) in _PAGES.items()),
        Route("/workflows/{trace_id}", _workflow_handler(web)),
    ]


def _handler(web: Web, path: str, template: str, fill: Fill) -> Callable[[Request], Response]:
    def handle(request: Request) -> Response:
        content = fill(web, access_of(request, web.authenticate), request)
        return page(template, path, content, is_logged_in=session_id_of(request) is not None)

    return handle


def _workflow_handler(web: Web) -> Callable[[Request], Response]:
    def handle(request: Request) -> Response:
        access = access_of(request, web.authenticate)
        with web.lend(access.tenants) as reader:
            reports = find_workflows(reader, trace_id_of(request.path_params["trace_id"]), access)
        content = workflow_content(reports, web.book(), web.jaeger_url)
        return page("workflow.html", "/workflows", content, is_logged_in=session_id_of(request) is not None)

    return handle
