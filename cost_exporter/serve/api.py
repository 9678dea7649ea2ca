"""The HTTP API: what one workflow cost, its usage statistics, and what a period cost."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cost_exporter.report.spend import COLUMN_BY_DIMENSION, Spend, spend_of
from cost_exporter.report.workflow import WorkflowReport, trace_json
from cost_exporter.serve.access import Access, access_of
from cost_exporter.serve.views import costs_body, success, usage_stats_body
from cost_exporter.store.reading import Period, Reader
from cost_exporter.store.token_directory import Authenticate

__all__ = ["BadRequest", "LendReader", "NotFound", "api_routes", "find_workflows", "trace_id_of"]

LendReader = Callable[[], AbstractContextManager[Reader]]
_DEFAULT_PERIOD_DAYS = 30
_GROUPS_MAX = 10_000


class NotFound(Exception):
    """Unknown, or another tenant's: the answer does not show which."""


class BadRequest(Exception):
    """A parameter that cannot be read; its text says how to fix it."""


def api_routes(lend: LendReader, authenticate: Authenticate, today: Callable[[], date]) -> list[Route]:
    """Return the routes of the API."""

    def workflow_cost(request: Request) -> Response:
        access = access_of(request, authenticate)
        with lend() as reader:
            return _answer(trace_json(find_workflows(reader, trace_id_of(request), access)))

    def usage_stats(request: Request) -> Response:
        access, trace_id = access_of(request, authenticate), trace_id_of(request)
        with lend() as reader:
            rows = reader.usage_stats(trace_id, access.tenant)
        if not rows:
            raise NotFound
        return _answer(usage_stats_body(trace_id.hex, rows))

    def costs(request: Request) -> Response:
        access = access_of(request, authenticate)
        if workflow_id := request.query_params.get("workflow_id"):
            with lend() as reader:
                return _answer(trace_json(find_workflows(reader, _uuid(workflow_id), access)))
        with lend() as reader:
            return _answer(_spend(reader, request, access, today()))

    return [
        Route("/v1/workflows/{trace_id}/cost", workflow_cost),
        Route("/v1/usage-stats/{trace_id}", usage_stats),
        Route("/v1/costs", costs),
    ]


def find_workflows(reader: Reader, trace_id: UUID, access: Access) -> list[WorkflowReport]:
    """Return the reports on one trace: one a tenant that pays for it. Raises `NotFound` where there is none."""
    found = reader.workflows(trace_id, access.tenant)
    if not found:
        raise NotFound
    return [WorkflowReport.of(each, reader.records(trace_id, each["tenant_id"])) for each in found]


def trace_id_of(request: Request) -> UUID:
    """Return the trace id in the path, written with or without dashes. Raises `NotFound` for anything else."""
    return _uuid(request.path_params["trace_id"])


def _uuid(text: str) -> UUID:
    digits = text.replace("-", "")
    try:
        return UUID(bytes=bytes.fromhex(digits))
    except ValueError:
        raise NotFound from None


def _answer(body: Any) -> Response:
    return JSONResponse(success(body))


def _spend(reader: Reader, request: Request, access: Access, today: date) -> dict[str, Any]:
    asked = request.query_params
    period = _period(asked.get("start_date"), asked.get("end_date"), today)
    columns = _columns(asked.get("group_by", "category"))
    tenant = access.tenant or asked.get("tenant")
    if "\0" in (tenant or ""):
        raise BadRequest("tenant is no name: there is a NUL in it")  # which the database refuses, even to compare
    if access.tenant is not None and asked.get("tenant") not in {None, access.tenant}:
        raise NotFound

    def grouped(by: tuple[str, ...]) -> Spend:
        return spend_of(reader.spend(period, by, tenant), since=period.since, until=period.until, columns=by)

    spend = grouped(columns)
    if len(spend.groups) > _GROUPS_MAX:
        raise BadRequest(f"more than {_GROUPS_MAX} groups; ask for a shorter period or fewer dimensions")
    return costs_body(spend, grouped(("day",)), today)


def _period(start: str | None, end: str | None, today: date) -> Period:
    until = _midnight(end, "end_date") if end else _midnight(str(today + timedelta(days=1)), "end_date")
    try:
        since = _midnight(start, "start_date") if start else until - timedelta(days=_DEFAULT_PERIOD_DAYS)
    except OverflowError:
        raise BadRequest("the period begins before the year 1; give a start_date") from None
    if since >= until:
        raise BadRequest("start_date must be before end_date, which is exclusive")
    return Period(since=since, until=until)


def _midnight(text: str, name: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError:
        raise BadRequest(f"{name} {text[:40]!r} is no date; write YYYY-MM-DD") from None


def _columns(group_by: str) -> tuple[str, ...]:
    names = [name.strip() for name in group_by.split(",") if name.strip()]
    for name in names:
        if name not in COLUMN_BY_DIMENSION:
            raise BadRequest(f"group_by {name[:40]!r} is unknown; choose from {', '.join(COLUMN_BY_DIMENSION)}")
    return tuple(dict.fromkeys(COLUMN_BY_DIMENSION[name] for name in names))
