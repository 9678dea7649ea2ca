"""The list of workflows: searched, filtered, sorted, page by page, with a link to the same as a file."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from starlette.requests import Request

from cost_exporter.domain.cost import LEGS
from cost_exporter.report.margin import profit_is_upper_bound
from cost_exporter.report.workflow_list import cost_per_minute_usd
from cost_exporter.serve.access import Access
from cost_exporter.serve.answers import NotFound
from cost_exporter.serve.api.cursor import cursor_of, place_of
from cost_exporter.serve.asked import flag_of, outcome_of, period_of, sort_of, tenant_of, text_of, trace_id_of
from cost_exporter.serve.pages.charts import stacked_bar
from cost_exporter.serve.pages.figures import LEG_WORDS, at_least, at_most, column_places
from cost_exporter.serve.pages.render import link
from cost_exporter.serve.web import Web
from cost_exporter.store.browsing import SORTS, WorkflowFilter, list_workflows, place_after

__all__ = ["listed_rows", "workflow_list"]

Row = Mapping[str, Any]
_COUNT: Final = 50
_FILTERS: Final = ("q", "start_date", "end_date", "tenant", "user", "api_key", "outcome", "unpriced", "sort")
_SORT_WORDS: Final = {"started": "newest first", "cost": "most expensive first", "duration": "longest first"}


def workflow_list(web: Web, access: Access, request: Request) -> dict[str, Any]:
    """Return what fills the page."""
    asked = {name: request.query_params.get(name, "") for name in _FILTERS}
    period = period_of(asked["start_date"], asked["end_date"], web.today())
    searched = text_of(asked["q"].strip(), "the search")
    wanted = WorkflowFilter(
        period=period,
        tenant=tenant_of(access, asked["tenant"]),
        trace_id=_trace_id(searched),
        name=searched if _trace_id(searched) is None else None,
        user=text_of(asked["user"], "user"),
        api_key=text_of(asked["api_key"], "api_key"),
        outcome=outcome_of(asked["outcome"]),
        only_unpriced=flag_of(asked["unpriced"], "unpriced"),
    )
    sort = sort_of(asked["sort"])
    with web.lend(access.tenants) as reader:
        after = place_of(request.query_params.get("cursor"), sort, wanted)
        found = list_workflows(reader, wanted, sort=sort, count=_COUNT + 1, after=after)
    shown = found[:_COUNT]
    following = cursor_of(place_after(shown[-1], sort), sort, wanted) if len(found) > _COUNT else None
    exported = {name: asked[name] for name in ("tenant", "user", "api_key", "outcome", "unpriced")}
    exported |= {"start_date": f"{period.since:%Y-%m-%d}", "end_date": f"{period.until:%Y-%m-%d}"}
    exported |= {"trace_id": wanted.trace_id.hex if wanted.trace_id else "", "name": wanted.name or ""}
    return {
        "asked": asked | {"start_date": exported["start_date"], "end_date": exported["end_date"]},
        "is_filtered": any(asked.values()),
        "has_tenants": access.tenant is None,
        "sorts": [(name, _SORT_WORDS[name]) for name in SORTS],
        "sort": sort,
        "workflows": listed_rows(shown),
        "is_first": after is None,
        "first": link("/workflows", asked),
        "next": link("/workflows", asked, cursor=following) if following else None,
        "exports": [(form, link("/v1/workflows", exported, format=form)) for form in ("csv", "ndjson")],
    }


def listed_rows(workflows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return what a table says of each workflow, its figures with the same places in every row."""
    costs = [workflow["total_cost_usd"] for workflow in workflows]
    minutes = [cost_per_minute_usd(workflow) if "duration_seconds" in workflow else None for workflow in workflows]
    profits = [workflow["profit_usd"] for workflow in workflows]
    places, minute_places, profit_places = column_places(costs), column_places(minutes), column_places(profits)
    return [
        _listed(workflow, minute, places, minute_places, profit_places)
        for workflow, minute in zip(workflows, minutes, strict=True)
    ]


def _listed(
    workflow: Row, minute_usd: Decimal | None, places: int, minute_places: int, profit_places: int
) -> dict[str, Any]:
    unpriced_count = int(workflow["unpriced_count"] or 0)
    is_unknown = unpriced_count > 0 and unpriced_count == workflow["request_count"] and not workflow["total_cost_usd"]
    legs = [(leg, Decimal((workflow["by_leg"] or {}).get(leg) or 0)) for leg in LEGS]
    ended_at, started_at = workflow["ended_at"], workflow["started_at"]
    seconds = None if ended_at is None or started_at is None else max(0.0, (ended_at - started_at).total_seconds())
    name = workflow["workflow_name"] or ""
    is_named = workflow["workflow_id"] != workflow["trace_id"].hex
    return {
        "trace_id": workflow["trace_id"].hex,
        "name": name or (workflow["workflow_id"] if is_named else f"trace {workflow['trace_id'].hex[:8]}…"),
        "tenant_id": workflow["tenant_id"],
        "state": workflow["outcome"],
        "started_at": started_at,
        "seconds": seconds,
        "call_count": workflow["request_count"],
        "unpriced_count": unpriced_count,
        "cost": at_least(None if is_unknown else workflow["total_cost_usd"], unpriced_count, places),
        "per_minute": "" if minute_usd is None else at_least(minute_usd, unpriced_count, minute_places),
        "profit": ""
        if workflow["revenue_usd"] is None
        else at_most(workflow["profit_usd"], is_bound=profit_is_upper_bound(workflow), places=profit_places),
        "bar": stacked_bar(legs, ", ".join(LEG_WORDS[leg] for leg, amount in legs if amount)),
    }


def _trace_id(searched: str | None) -> UUID | None:
    try:
        return trace_id_of(searched) if searched else None
    except NotFound:
        return None
