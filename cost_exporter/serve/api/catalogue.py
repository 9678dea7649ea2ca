"""`/v1/prices`, `/v1/unpriced` and `/v1/unread`: the price book, and what it or the reading of spans leaves open."""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from cost_exporter.domain.pricing.rows import LIST, OPERATOR
from cost_exporter.domain.provider import canonical_provider
from cost_exporter.report.amounts import jsonable
from cost_exporter.report.price_list import ListedPrice, listed_book, searched_prices
from cost_exporter.report.unpriced import unpriced_body
from cost_exporter.serve.access import Access, access_of
from cost_exporter.serve.answers import BadRequest, answer, quoted
from cost_exporter.serve.api.parameters import EndDate, Limit, OnlyTenant, StartDate
from cost_exporter.serve.api.shapes import ERRORS, Envelope, Prices, Unpriced, Unread
from cost_exporter.serve.asked import flag_of, limit_of, period_of, tenant_of, text_of
from cost_exporter.serve.web import Web
from cost_exporter.store.browsing import unpriced_list

__all__ = ["catalogue_router", "offset_of", "visible_prices"]

_COUNT: Final = 100
_COUNT_MAX: Final = 1_000

Words = Annotated[
    str | None, Query(description="Words that occur in provider, model, unit or book.", examples=["openai gpt-4o"])
]
Provider = Annotated[str | None, Query(description="Only this provider.", examples=["deepgram"])]
Disagreeing = Annotated[str | None, Query(description="`true`: only where two sources state different prices.")]
Offset = Annotated[str | None, Query(description="`next_offset` of the page before.", examples=["100"])]


def catalogue_router(web: Web) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["prices"], responses=ERRORS)

    @router.get("/v1/prices", response_model=Envelope[Prices], summary="The prices in force, and those to come")
    def prices(
        request: Request,
        *,
        q: Words = None,
        provider: Provider = None,
        disagreeing: Disagreeing = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Response:
        """Return rows of the price book, by provider and model, each with its source."""
        access = access_of(request, web.authenticate)
        count, start = limit_of(limit, _COUNT, _COUNT_MAX), offset_of(offset)
        only_disagreeing, book = flag_of(disagreeing, "disagreeing"), web.book()
        listed = visible_prices(listed_book(book), access)
        if provider:
            listed = [each for each in listed if each.row.provider == canonical_provider(provider)]
        found = searched_prices(listed, q or "", only_disagreeing=only_disagreeing)
        following = start + count if len(found) > start + count else None
        shown = [each.as_json() for each in found[start : start + count]]
        return answer({"book_version": book.version, "prices": shown, "next_offset": following})

    @router.get("/v1/unpriced", response_model=Envelope[Unpriced], summary="Calls without a cost, by model and reason")
    def unpriced(
        request: Request,
        *,
        start_date: StartDate = None,
        end_date: EndDate = None,
        tenant: OnlyTenant = None,
        limit: Limit = None,
    ) -> Response:
        """Return what has no cost, or only a part of it, with the units that need a price."""
        access = access_of(request, web.authenticate)
        period, only = period_of(start_date, end_date, web.today()), tenant_of(access, tenant)
        count, book = limit_of(limit, _COUNT, _COUNT_MAX), web.book()
        with web.lend(access.tenants) as reader:
            rows = unpriced_list(reader, period, only, count=count)
        return answer({"unpriced": [unpriced_body(row, book) for row in rows]})

    @router.get(
        "/v1/unread", response_model=Envelope[Unread], summary="Usage and call-like spans that were not understood"
    )
    def unread(
        request: Request,
        *,
        start_date: StartDate = None,
        end_date: EndDate = None,
        tenant: OnlyTenant = None,
        limit: Limit = None,
    ) -> Response:
        """Return attributes and spans that were not understood, by the instrumentation that made them."""
        access = access_of(request, web.authenticate)
        period, only = period_of(start_date, end_date, web.today()), tenant_of(access, tenant)
        with web.lend(access.tenants) as reader:
            rows = reader.unread(period, count=limit_of(limit, _COUNT, _COUNT_MAX), tenant=only)
        return answer({"unread": [jsonable(row) for row in rows]})

    return router


def visible_prices(listed: Sequence[ListedPrice], access: Access) -> Sequence[ListedPrice]:
    """Return the prices that a sender may see: other tenants' and API keys' are for tokens of all tenants."""
    if access.tenants is None:
        return listed
    books = {LIST, OPERATOR, *(f"tenant:{tenant}" for tenant in access.tenants)}
    return [each for each in listed if each.row.book in books]


def offset_of(asked: str | None) -> int:
    """Return how many prices to leave out at the beginning."""
    text = text_of(asked, "offset") or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= len("1000000")):
        raise BadRequest(f"offset {quoted(text)} is no number; take next_offset of the page before")
    return int(text)
