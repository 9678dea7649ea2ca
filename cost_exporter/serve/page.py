"""Pages a person can read: the latest workflows, and one of them. Everything a span brought is escaped; no script runs.

Every figure is `<data value="exact">rounded</data>`. One with something unknown in it says that it is a bound.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import jinja2
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cost_exporter.domain.cost import LEGS, leg_of
from cost_exporter.domain.money import to_plain, total
from cost_exporter.report.amounts import time_text
from cost_exporter.report.margin import profit_is_upper_bound, unpriced_counts
from cost_exporter.report.workflow import WorkflowReport
from cost_exporter.safe_text import for_html
from cost_exporter.serve.access import access_of
from cost_exporter.serve.asked import trace_id_of
from cost_exporter.serve.web import Web, find_workflows

__all__ = ["PAGE_HEADERS", "figure", "page_routes", "start_page", "template_environment", "workflow_page"]

Row = Mapping[str, Any]
PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_LATEST_COUNT: Final = 50
_CENT_PLACES: Final = 4
_NOTHING_UNPRICED: Final = Counter[str]()
_UNKNOWN: Final = Markup("-")


def template_environment() -> jinja2.Environment:
    """Return the environment of the templates: markup is escaped, and what is invisible in a name is shown."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("cost_exporter.serve", "templates"),
        autoescape=True,
        finalize=for_html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


_environment = template_environment()


def page_routes(web: Web) -> list[Route]:
    """Return the routes of the pages."""

    def start(request: Request) -> Response:
        access = access_of(request, web.authenticate)
        with web.lend() as reader:
            workflows = reader.latest(now=datetime.now(UTC), count=_LATEST_COUNT, tenant=access.tenant)
            unpriced = reader.unpriced_by_leg([workflow["trace_id"] for workflow in workflows])
        return HTMLResponse(start_page(workflows, unpriced), headers=PAGE_HEADERS)

    def workflow(request: Request) -> Response:
        access = access_of(request, web.authenticate)
        with web.lend() as reader:
            reports = find_workflows(reader, trace_id_of(request.path_params["trace_id"]), access)
        return HTMLResponse(workflow_page(reports), headers=PAGE_HEADERS)

    return [Route("/", start), Route("/workflows/{trace_id}", workflow)]


def start_page(workflows: Sequence[Row], unpriced_by_leg: Sequence[Row]) -> str:
    """Return the page of the latest workflows: rows of `workflow_cost`, and what is unpriced in them."""
    unpriced: dict[tuple[Any, str], Counter[str]] = {}
    for row in unpriced_by_leg:
        unpriced.setdefault((row["trace_id"], row["tenant_id"]), Counter())[row["leg"]] += row["unpriced_count"]
    shown = [
        _head(workflow, unpriced.get((workflow["trace_id"], workflow["tenant_id"]), _NOTHING_UNPRICED))
        for workflow in workflows
    ]
    return _environment.get_template("start.html").render(workflows=shown)


def workflow_page(reports: Sequence[WorkflowReport]) -> str:
    """Return the page of one trace: a section for each tenant that pays for it."""
    workflows = [report.workflow for report in reports]
    known_usd = total(workflow["total_cost_usd"] or Decimal(0) for workflow in workflows)
    unpriced_count = sum(int(workflow["unpriced_count"] or 0) for workflow in workflows)
    return _environment.get_template("workflow.html").render(
        workflows=[_body(report) for report in reports], total=_at_least(known_usd, unpriced_count)
    )


def figure(cost_usd: Decimal) -> Markup:
    """Return a figure that shows cents for people and holds every digit for programs."""
    exact = to_plain(cost_usd)
    return Markup('<data value="{}">{}${}</data>').format(exact, "-" if cost_usd < 0 else "", _rounded(abs(cost_usd)))


def _head(workflow: Row, unpriced: Counter[str]) -> dict[str, Any]:
    """Return what both pages say of a workflow, with the counts of what is unpriced in its legs."""
    unpriced_count = int(workflow["unpriced_count"] or 0)
    started_at: datetime | None = workflow["started_at"]
    return {
        "name": workflow["workflow_name"] or workflow["workflow_id"] or workflow["trace_id"].hex,
        "trace_id": workflow["trace_id"].hex,
        "tenant_id": workflow["tenant_id"],
        "state": workflow["state"],
        "started_at": "" if started_at is None else time_text(started_at),
        "started_at_text": "" if started_at is None else f"{started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "unpriced_count": unpriced_count,
        "total": _at_least(workflow["total_cost_usd"] or Decimal(0), unpriced_count),
        "by_leg": _figures(workflow["by_leg"], unpriced, LEGS),
    }


def _body(report: WorkflowReport) -> dict[str, Any]:
    by_leg = unpriced_counts(report.records, lambda record: leg_of(record["operation"] or ""))
    by_category = unpriced_counts(report.records, lambda record: record["category"])
    sheet = report.sheet()
    return {
        **_head(report.workflow, by_leg),
        "by_category": _figures(report.workflow["by_category"], by_category),
        "margin": _margin(report.workflow),
        "sheet": sheet,
        "rows": [[_cell(*each) for each in zip(sheet.columns, row, strict=True)] for row in sheet.rows],
    }


def _figures(amounts: Any, unpriced: Counter[str], order: Sequence[str] = ()) -> list[tuple[str, Markup]]:
    """Return the parts of a sum by name, in the order given or else of their names."""
    named = {str(name): amount for name, amount in (amounts or {}).items()}
    names = [name for name in order if name in named] or sorted(named)
    return [
        (name, _UNKNOWN if named[name] is None else _at_least(Decimal(str(named[name])), unpriced[name]))
        for name in names
    ]


def _margin(workflow: Row) -> list[tuple[str, Markup]]:
    """Return revenue, fee and profit where the revenue is known. An unknown cost makes the profit an upper bound."""
    if workflow.get("revenue_usd") is None:
        return []
    bound = Markup("≤ ") if profit_is_upper_bound(workflow) else Markup()
    fee_usd: Decimal | None = workflow["fee_usd"]
    return [
        ("revenue", figure(workflow["revenue_usd"])),
        ("payment fee", Markup("- (no fee rule)") if fee_usd is None else figure(fee_usd)),
        ("profit", bound + figure(workflow["profit_usd"])),
    ]


def _cell(column: str, text: str) -> Markup:
    """Return a cell of the table, its figure exact in `value` as everywhere; a dash is no figure."""
    number, slash, per = text.partition(" / ")
    match column:
        case "cost" if text.startswith("$"):
            return figure(Decimal(text[1:]))
        case "unit price" if text.startswith("$"):
            return Markup('<data value="{}">{}</data>{}').format(number[1:], number, slash + per)
        case "quantity" if text[:1].isdigit():
            return Markup(" → ").join(map(_count, text.split(" → ")))
        case _:
            return escape(for_html(text))


def _count(text: str) -> Markup:
    return Markup('<data value="{}">{}</data>').format(text.replace(",", ""), text)


def _at_least(known_usd: Decimal, unpriced_count: int) -> Markup:
    return (Markup("≥ ") if unpriced_count else Markup()) + figure(known_usd)


def _rounded(cost_usd: Decimal) -> str:
    """Return at least two places, and four digits of a small amount: half a cent is not $0.00."""
    if cost_usd == 0 or cost_usd >= 1:
        return f"{cost_usd:,.2f}"
    return f"{cost_usd:.{_CENT_PLACES - 1 - cost_usd.adjusted()}f}".rstrip("0").ljust(4, "0")
