"""`/v1/costs` and `/v1/usage-stats`: what a period cost by group, and the statistics of one workflow."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from cost_exporter.report.spend import COLUMN_BY_DIMENSION, Spend, spend_of
from cost_exporter.report.workflow import trace_json
from cost_exporter.serve.access import access_of
from cost_exporter.serve.answers import BadRequest, NotFound, answer
from cost_exporter.serve.api.shapes import ERRORS, CostsOrWorkflow, Envelope, UsageStats, Workflow
from cost_exporter.serve.asked import columns_of, period_of, tenant_of, trace_id_of
from cost_exporter.serve.views import costs_body, usage_stats_body
from cost_exporter.serve.web import Web, find_workflows

__all__ = ["costs_router"]

_GROUPS_MAX: Final = 10_000
_DIMENSIONS: Final = ", ".join(f"`{name}`" for name in COLUMN_BY_DIMENSION)

StartDate = Annotated[
    str | None,
    Query(description="First day, UTC, `YYYY-MM-DD`. Default: 30 days before the end.", examples=["2026-11-01"]),
]
EndDate = Annotated[str | None, Query(description="End, exclusive, UTC. Default: tomorrow.", examples=["2026-12-01"])]
GroupBy = Annotated[str, Query(description=f"Comma-separated, of {_DIMENSIONS}.", examples=["tenant,model"])]
OnlyTenant = Annotated[
    str | None, Query(description="Only this tenant; 404 where the token is for another one.", examples=["acme"])
]
WorkflowId = Annotated[
    str | None,
    Query(description="A trace id: answers as `/v1/workflows/{trace_id}/cost`. The other parameters are then ignored."),
]


def costs_router(web: Web) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["costs"], responses=ERRORS)

    @router.get("/v1/costs", response_model=Envelope[CostsOrWorkflow], summary="Costs of a period by group")
    def costs(
        request: Request,
        *,
        workflow_id: WorkflowId = None,
        start_date: StartDate = None,
        end_date: EndDate = None,
        group_by: GroupBy = "category",
        tenant: OnlyTenant = None,
    ) -> Response:
        """Sum up the costs of a period by group and by day, or of one workflow."""
        access = access_of(request, web.authenticate)
        if workflow_id:
            with web.lend() as reader:
                return answer(trace_json(find_workflows(reader, trace_id_of(workflow_id), access)))
        period = period_of(start_date, end_date, web.today())
        columns, only = columns_of(group_by), tenant_of(access, tenant)
        with web.lend() as reader:

            def grouped(by: tuple[str, ...]) -> Spend:
                return spend_of(reader.spend(period, by, only), since=period.since, until=period.until, columns=by)

            spend, by_day = grouped(columns), grouped(("day",))
        if len(spend.groups) > _GROUPS_MAX:
            raise BadRequest(f"more than {_GROUPS_MAX} groups; ask for a shorter period or fewer dimensions")
        return answer(costs_body(spend, by_day, web.today()))

    @router.get(
        "/v1/workflows/{trace_id}/cost", response_model=Envelope[Workflow], summary="What one workflow cost, by call"
    )
    def workflow_cost(request: Request, trace_id: str) -> Response:
        """Return one workflow with its records and their lines."""
        access = access_of(request, web.authenticate)
        with web.lend() as reader:
            return answer(trace_json(find_workflows(reader, trace_id_of(trace_id), access)))

    @router.get(
        "/v1/usage-stats/{trace_id}", response_model=Envelope[UsageStats], summary="Usage statistics of one workflow"
    )
    def usage_stats(request: Request, trace_id: str) -> Response:
        """Return cost by category, tokens and models of one workflow."""
        access, trace = access_of(request, web.authenticate), trace_id_of(trace_id)
        with web.lend() as reader:
            rows = reader.usage_stats(trace, access.tenant)
        if not rows:
            raise NotFound
        return answer(usage_stats_body(trace.hex, rows))

    return router
