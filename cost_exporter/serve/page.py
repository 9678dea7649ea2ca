"""One workflow as a page a person can read. Everything a span brought is escaped; no script runs."""

from decimal import Decimal
from typing import Any, Final

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cost_exporter.domain.money import to_plain
from cost_exporter.report.workflow import WorkflowReport
from cost_exporter.serve.access import Authenticate, access_of
from cost_exporter.serve.api import LendReader, find_workflow, trace_id_of

__all__ = ["PAGE_HEADERS", "figure", "page_routes", "workflow_page"]

PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_CENT_PLACES: Final = 4

_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("cost_exporter.serve", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page_routes(lend: LendReader, authenticate: Authenticate) -> list[Route]:
    """Return the routes of the pages."""

    def workflow(request: Request) -> Response:
        access = access_of(request, authenticate)
        with lend() as reader:
            report = find_workflow(reader, trace_id_of(request), access)
        return HTMLResponse(workflow_page(report), headers=PAGE_HEADERS)

    return [Route("/workflows/{trace_id}", workflow)]


def workflow_page(report: WorkflowReport) -> str:
    """Return the page of one workflow."""
    unpriced_count = int(report.workflow["unpriced_count"] or 0)
    return _environment.get_template("workflow.html").render(
        body=report.as_json(),
        sheet=report.sheet(),
        total=figure(report.workflow["total_cost_usd"] or Decimal(0)),
        unpriced_count=unpriced_count,
        by_leg=_figures(report.workflow["by_leg"]),
        by_category=_figures(report.workflow["by_category"]),
    )


def figure(cost_usd: Decimal) -> Markup:
    """Return a figure that shows cents for people and holds every digit for programs."""
    exact = to_plain(cost_usd)
    return Markup('<data value="{}">${}</data>').format(exact, _rounded(cost_usd))


def _rounded(cost_usd: Decimal) -> str:
    """Return at least two places, and four digits of a small amount: half a cent is not $0.00."""
    if cost_usd == 0 or abs(cost_usd) >= 1:
        return f"{cost_usd:,.2f}"
    return f"{cost_usd:.{_CENT_PLACES - 1 - cost_usd.adjusted()}f}".rstrip("0").ljust(4, "0")


def _figures(amounts: Any) -> list[tuple[str, Markup]]:
    return [(str(name), figure(Decimal(str(amount)))) for name, amount in (amounts or {}).items()]
