"""`/v1/costs` and `/v1/usage-stats`: what a period cost by group, and the statistics of one workflow."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from cost_exporter.report.amounts import jsonable
from cost_exporter.report.spend import Spend, spend_of
from cost_exporter.report.workflow import trace_json
from cost_exporter.serve.access import access_of
from cost_exporter.serve.answers import BadRequest, NotFound, answer
from cost_exporter.serve.api.parameters import EndDate, Format, GroupBy, OnlyTenant, StartDate
from cost_exporter.serve.api.shapes import ERRORS, STREAMS, Costs, CostsOrWorkflow, Envelope, UsageStats
from cost_exporter.serve.api.streams import form_of, streamed
from cost_exporter.serve.asked import columns_of, period_of, tenant_of, text_of, trace_id_of
from cost_exporter.serve.views import costs_body, model_body, usage_stats_body
from cost_exporter.serve.web import Web, find_workflows
from cost_exporter.store.browsing import model_breakdown, request_times
from cost_exporter.store.reading import Period, Reader

__all__ = ["costs_router", "grouped"]

_GROUPS_MAX: Final = 10_000
_MODELS_MAX: Final = 100
WorkflowId = Annotated[
    str | None,
    Query(description="A trace id: answers as `/v1/workflows/{trace_id}/cost`. The other parameters are then ignored."),
]


def costs_router(web: Web) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["costs"], responses=ERRORS)

    @router.get(
        "/v1/costs", response_model=Envelope[CostsOrWorkflow], responses=STREAMS, summary="Costs of a period by group"
    )
    def costs(
        request: Request,
        *,
        workflow_id: WorkflowId = None,
        start_date: StartDate = None,
        end_date: EndDate = None,
        group_by: GroupBy = "category",
        tenant: OnlyTenant = None,
        format: Format = None,  # noqa: A002 - the parameter's name
    ) -> Response:
        """Sum up the costs of a period by group, by day and by model, or return those of one workflow."""
        access = access_of(request, web.authenticate)
        if workflow_id:
            with web.lend(access.tenants) as reader:
                return answer(trace_json(find_workflows(reader, trace_id_of(workflow_id), access)))
        period, columns = period_of(start_date, end_date, web.today()), columns_of(group_by)
        only, form = tenant_of(access, tenant), form_of(format)
        with web.lend(access.tenants) as reader:
            spend = grouped(reader, period, columns, only)
            if form != "json":
                return streamed(iter(spend.as_json()["groups"]), spend.rows().columns, form, "costs")
            require_few(spend)
            by_day = grouped(reader, period, ("day",), only)
            models = model_breakdown(reader, period, only, count=_MODELS_MAX)
            times = request_times(reader, period, only)
        return answer(costs_body(spend, by_day, web.today()) | model_body(models) | jsonable(times))

    @router.get(
        "/v1/api-keys/{api_key_id}/costs", response_model=Envelope[Costs], summary="Costs of one API key in a period"
    )
    def api_key_costs(
        request: Request,
        api_key_id: str,
        *,
        start_date: StartDate = None,
        end_date: EndDate = None,
        group_by: GroupBy = "model",
        tenant: OnlyTenant = None,
    ) -> Response:
        """Sum up what one API key cost by group and by day. A key without calls in the period is 404."""
        access = access_of(request, web.authenticate)
        period, columns = period_of(start_date, end_date, web.today()), columns_of(group_by)
        only, key = tenant_of(access, tenant), text_of(api_key_id, "the API key's id")

        def of_key(reader: Reader, by: tuple[str, ...]) -> Spend:
            rows = reader.spend(period, by, only, api_key=key or "")
            return spend_of(rows, since=period.since, until=period.until, columns=by)

        with web.lend(access.tenants) as reader:
            spend, by_day = of_key(reader, columns), of_key(reader, ("day",))
        if not by_day.groups:
            raise NotFound
        require_few(spend)
        return answer({"api_key_id": key} | costs_body(spend, by_day, web.today()))

    @router.get(
        "/v1/usage-stats/{trace_id}", response_model=Envelope[UsageStats], summary="Usage statistics of one workflow"
    )
    def usage_stats(request: Request, trace_id: str) -> Response:
        """Return cost by category, tokens and models of one workflow."""
        access, trace = access_of(request, web.authenticate), trace_id_of(trace_id)
        with web.lend(access.tenants) as reader:
            rows = reader.usage_stats(trace, access.tenant)
        if not rows:
            raise NotFound
        return answer(usage_stats_body(trace.hex, rows))

    return router


def grouped(reader: Reader, period: Period, by: tuple[str, ...], tenant: str | None) -> Spend:
    """Return what a period cost by the columns given."""
    return spend_of(reader.spend(period, by, tenant), since=period.since, until=period.until, columns=by)


def require_few(spend: Spend) -> None:
    """Raise `BadRequest` where a report has more groups than fit into one answer."""
    if len(spend.groups) > _GROUPS_MAX:
        raise BadRequest(
            f"more than {_GROUPS_MAX} groups; ask for a shorter period or fewer dimensions, or add format=csv"
        )
