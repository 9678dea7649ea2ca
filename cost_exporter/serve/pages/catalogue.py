"""What has no cost, what was not understood, and the prices: what a person looks up to make the bill complete."""

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from markupsafe import escape
from starlette.requests import Request

from cost_exporter.domain.pricing.rows import ALWAYS, FOREVER, PriceRow, instant_text
from cost_exporter.report.price_list import ListedPrice, listed_book, searched_prices
from cost_exporter.report.unit_price import unit_price_text
from cost_exporter.report.unpriced import nearest_model, price_rows_to_fill_in
from cost_exporter.serve.access import Access
from cost_exporter.serve.api.catalogue import offset_of, visible_prices
from cost_exporter.serve.asked import flag_of, period_of, tenant_of, text_of
from cost_exporter.serve.pages.figures import figure
from cost_exporter.serve.pages.render import link
from cost_exporter.serve.web import Web
from cost_exporter.store.browsing import unpriced_list
from cost_exporter.store.reading import Period

__all__ = ["prices_page", "unpriced_page", "unread_page"]

_COUNT: Final = 100
_KINDS: Final = {
    "unread_usage": "usage that nothing reads",
    "looks_like_a_call": "looks like a call and gave none",
}


def unpriced_page(web: Web, access: Access, request: Request) -> dict[str, Any]:
    """Return what fills the page of calls without a cost."""
    asked, period, only = _asked(web, access, request)
    with web.lend(access.tenants) as reader:
        found = unpriced_list(reader, period, only, count=_COUNT)
    book = web.book()
    rows = [
        {
            **{name: row[name] for name in ("provider", "model", "operation", "status", "request_count")},
            **{name: row[name] for name in ("tenant_count", "first_seen_at", "last_seen_at")},
            "trace_id": row["trace_id"].hex,
            "issues": [str(issue) for issue in row["issues"] or ()],
            "nearest": nearest_model(row, book),
            "template": escape(price_rows_to_fill_in(row)) if row["status"] in {"unpriced", "partial"} else "",
        }
        for row in found
    ]
    return {"asked": asked, "has_tenants": access.tenant is None, "rows": rows}


def unread_page(web: Web, access: Access, request: Request) -> dict[str, Any]:
    """Return what fills the page of what was not understood."""
    asked, period, only = _asked(web, access, request)
    with web.lend(access.tenants) as reader:
        rows = reader.unread(period, count=_COUNT, tenant=only)
    return {"asked": asked, "has_tenants": access.tenant is None, "rows": rows, "kinds": _KINDS}


def prices_page(web: Web, access: Access, request: Request) -> dict[str, Any]:
    """Return what fills the page of prices."""
    asked = {name: request.query_params.get(name, "") for name in ("q", "disagreeing")}
    words, start = text_of(asked["q"], "the search") or "", offset_of(request.query_params.get("offset"))
    book = web.book()
    listed = visible_prices(listed_book(book), access)
    found = searched_prices(listed, words, only_disagreeing=flag_of(asked["disagreeing"], "disagreeing"))
    shown = found[start : start + _COUNT]
    return {
        "asked": asked,
        "book_version": book.version,
        "found_count": len(found),
        "rows": [_price(each) for each in shown],
        "previous": link("/prices", asked, offset=max(0, start - _COUNT) or "") if start else "",
        "next": link("/prices", asked, offset=start + _COUNT) if len(found) > start + _COUNT else "",
    }


def _asked(web: Web, access: Access, request: Request) -> tuple[dict[str, str], Period, str | None]:
    asked = {name: request.query_params.get(name, "") for name in ("start_date", "end_date", "tenant")}
    period, only = period_of(asked["start_date"], asked["end_date"], web.today()), tenant_of(access, asked["tenant"])
    dates = {"start_date": f"{period.since:%Y-%m-%d}", "end_date": f"{period.until:%Y-%m-%d}"}
    return asked | dates, period, only


def _price(listed: ListedPrice) -> dict[str, Any]:
    row = listed.row
    address = urlsplit(row.source)
    is_link = address.scheme in {"http", "https"}
    return {
        "provider": row.provider,
        "model": row.model if row.match == "exact" else f"{row.match}: {row.model}",
        "unit": row.unit.replace("_", " "),
        "price": _text(row),
        "conditions": row.conditions_key.replace("&", ", ").replace("_", " "),
        "valid": _validity(row),
        "book": f"{row.book} (imported)" if row.is_imported else row.book,
        "source": row.source,
        "source_url": row.source if is_link else "",
        "source_host": (address.hostname or "").removeprefix("www."),
        "checked": row.checked[:10],
        "confidence": row.confidence and f"{row.confidence} confidence",
        "others": [_text(other) for other in listed.disagrees_with],
    }


def _text(row: PriceRow) -> Any:
    """Return the price as people say it, exact in its value."""
    _, slash, per = unit_price_text(row.unit, row.price_usd, row.per).partition(" / ")
    return figure(row.price_usd, None) + slash + per


def _validity(row: PriceRow) -> str:
    now = int(datetime.now(UTC).timestamp()) * 10**9
    begin = "" if row.valid_from_unix_ns == ALWAYS else f"from {instant_text(row.valid_from_unix_ns)}"
    end = "" if row.valid_to_unix_ns == FOREVER else f"until {instant_text(row.valid_to_unix_ns)}"
    if row.valid_to_unix_ns <= now:
        end += " (past)"
    return " ".join(part for part in (begin, end) if part) or "always"
