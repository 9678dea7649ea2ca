"""`/v1/periods`: closed months, what each cost when it was closed, and what corrections have added since."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cost_exporter.report.amounts import jsonable
from cost_exporter.serve.access import access_of
from cost_exporter.serve.answers import answer
from cost_exporter.serve.api.parameters import OnlyTenant
from cost_exporter.serve.api.shapes import ERRORS, Envelope, Periods
from cost_exporter.serve.asked import tenant_of
from cost_exporter.serve.web import Web

__all__ = ["periods_router"]


def periods_router(web: Web) -> APIRouter:
    """Return the route."""
    router = APIRouter(tags=["costs"], responses=ERRORS)

    @router.get("/v1/periods", response_model=Envelope[Periods], summary="Closed months and their corrections")
    def periods(request: Request, *, tenant: OnlyTenant = None) -> Response:
        """Return every closing, also those that were reopened, with the figures of each tenant."""
        access = access_of(request, web.authenticate)
        with web.lend(access.tenants) as reader:
            rows = reader.ask("periods", {"tenant": tenant_of(access, tenant)}, {})
        return answer({"periods": [jsonable(row) for row in rows]})

    return router
