"""`/v1/workflows` and `/v1/calls`: lists of workflows and of provider calls, by page or as a stream."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cost_exporter.domain.cost import leg_of
from cost_exporter.report.amounts import jsonable
from cost_exporter.report.workflow import trace_json
from cost_exporter.report.workflow_list import WORKFLOW_COLUMNS, listed_workflow
from cost_exporter.serve.access import Access, access_of
from cost_exporter.serve.answers import answer
from cost_exporter.serve.api.cursor import cursor_of, place_of
from cost_exporter.serve.api.parameters import (
    ApiKey,
    Cursor,
    EndDate,
    Format,
    Limit,
    Name,
    OnlyTenant,
    Outcome,
    SortBy,
    StartDate,
    StreamFormat,
    TraceIdFilter,
    Unpriced,
    User,
    WorkflowIdFilter,
)
from cost_exporter.serve.api.shapes import ERRORS, STREAMS, Envelope, Workflow, WorkflowPage
from cost_exporter.serve.api.streams import form_of, streamed
from cost_exporter.serve.asked import (
    flag_of,
    limit_of,
    outcome_of,
    period_of,
    searched_trace_of,
    sort_of,
    tenant_of,
    text_of,
    trace_id_of,
)
from cost_exporter.serve.web import Web, find_workflows
from cost_exporter.store.browsing import WorkflowFilter, list_calls, list_workflows, place_after, stream_workflows

__all__ = ["CALL_COLUMNS", "workflows_router"]

_COUNT: Final = 100
_COUNT_MAX: Final = 1_000
CALL_COLUMNS: Final = (
    *("tenant_id", "trace_id", "span_id", "parent_span_id", "started_at", "ended_at", "duration_seconds", "leg"),
    *("operation", "provider", "model", "service_tier", "mode", "status", "cost_usd", "reported_cost_usd"),
    *("category", "task", "tier", "user_id", "api_key_id", "service_name", "error_type", "duplicate_of"),
    *("duplicate_trace_id", "usage", "lines", "issues", "book_version", "received_at", "scope"),
)


def workflows_router(web: Web) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["workflows"], responses=ERRORS)

    @router.get(
        "/v1/workflows",
        response_model=Envelope[WorkflowPage],
        responses=STREAMS,
        summary="Workflows of a period, filtered and sorted, page by page or as a stream",
    )
    def workflows(
        request: Request,
        *,
        start_date: StartDate = None,
        end_date: EndDate = None,
        tenant: OnlyTenant = None,
        trace_id: TraceIdFilter = None,
        workflow_id: WorkflowIdFilter = None,
        name: Name = None,
        user: User = None,
        api_key: ApiKey = None,
        outcome: Outcome = None,
        unpriced: Unpriced = None,
        sort: SortBy = None,
        limit: Limit = None,
        cursor: Cursor = None,
        format: Format = None,  # noqa: A002 - the parameter's name
    ) -> Response:
        """Return workflows with cost, cost per minute, margin and usage. A page ends with `next_cursor`."""
        access = access_of(request, web.authenticate)
        wanted = WorkflowFilter(
            period=period_of(start_date, end_date, web.today()),
            tenant=tenant_of(access, tenant),
            trace_id=searched_trace_of(trace_id),
            workflow_id=text_of(workflow_id, "workflow_id"),
            name=text_of(name, "name"),
            user=text_of(user, "user"),
            api_key=text_of(api_key, "api_key"),
            outcome=outcome_of(outcome),
            only_unpriced=flag_of(unpriced, "unpriced"),
        )
        form = form_of(format)
        if form != "json":
            rows = _listed(web, access, wanted)
            return streamed(rows, WORKFLOW_COLUMNS, form, "workflows")
        order, count = sort_of(sort), limit_of(limit, _COUNT, _COUNT_MAX)
        with web.lend(access.tenants) as reader:
            after = place_of(cursor, order, wanted)
            found = list_workflows(reader, wanted, sort=order, count=count + 1, after=after)
        shown = found[:count]
        has_more = len(found) > count
        following = cursor_of(place_after(shown[-1], order), order, wanted) if has_more else None
        return answer({"workflows": [listed_workflow(row) for row in shown], "next_cursor": following})

    @router.get(
        "/v1/calls",
        responses=STREAMS,
        response_class=Response,
        summary="Provider calls of a period with their lines, as a stream",
    )
    def calls(
        request: Request,
        *,
        start_date: StartDate = None,
        end_date: EndDate = None,
        tenant: OnlyTenant = None,
        trace_id: TraceIdFilter = None,
        user: User = None,
        api_key: ApiKey = None,
        format: StreamFormat = None,  # noqa: A002 - the parameter's name
    ) -> Response:
        """Return rows of `cost_record` by tenant, the oldest first, duplicates included: they have no cost."""
        access = access_of(request, web.authenticate)
        form = form_of(format, "ndjson", ("ndjson", "csv"))
        wanted = WorkflowFilter(
            period=period_of(start_date, end_date, web.today()),
            tenant=tenant_of(access, tenant),
            trace_id=searched_trace_of(trace_id),
            user=text_of(user, "user"),
            api_key=text_of(api_key, "api_key"),
        )
        return streamed(_calls(web, access, wanted), CALL_COLUMNS, form, "calls")

    @router.get(
        "/v1/workflows/{trace_id}/cost", response_model=Envelope[Workflow], summary="What one workflow cost, by call"
    )
    def workflow_cost(request: Request, trace_id: str) -> Response:
        """Return one workflow with its records and their lines; one entry for each tenant that pays for it."""
        access = access_of(request, web.authenticate)
        with web.lend(access.tenants) as reader:
            return answer(trace_json(find_workflows(reader, trace_id_of(trace_id), access)))

    return router


def _listed(web: Web, access: Access, wanted: WorkflowFilter) -> Iterator[dict[str, Any]]:
    with web.lend_stream(access.tenants) as reader:
        for row in stream_workflows(reader, wanted):
            yield listed_workflow(row)


def _calls(web: Web, access: Access, wanted: WorkflowFilter) -> Iterator[dict[str, Any]]:
    with web.lend_stream(access.tenants) as reader:
        for row in list_calls(reader, wanted):
            yield {**jsonable(row), "leg": leg_of(row["operation"] or "")}
