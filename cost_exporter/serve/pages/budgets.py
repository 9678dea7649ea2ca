"""The budgets: what each allows in its window, what is spent and reserved of it; and the last alerts."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from starlette.requests import Request

from cost_exporter.report.alerts import deliveries_text, message_of
from cost_exporter.report.budgets import calls_of, reached_percent
from cost_exporter.serve.access import Access
from cost_exporter.serve.pages.figures import UNKNOWN, at_least, column_places, figure, percent
from cost_exporter.serve.web import Web

__all__ = ["budget_rows", "budgets_page"]

Row = dict[str, Any]
_ALERTS_MAX = 50
_MONEY = ("limit_usd", "spent_usd", "reserved_usd", "remaining_usd")


def budgets_page(web: Web, access: Access, _: Request) -> dict[str, Any]:
    """Return what fills the page."""
    with web.lend(access.tenants) as reader:
        budgets = reader.budgets(tenant=access.tenant)
        alerts = reader.alerts(tenant=access.tenant, count=_ALERTS_MAX)
    return {"budgets": budget_rows(budgets), "alerts": [_alert(row) for row in alerts]}


def budget_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the cells of budgets: money at the same number of places in each column."""
    places = column_places(row[name] for row in rows for name in _MONEY)
    return [_budget(row, places) for row in rows]


def _alert(row: Row) -> dict[str, Any]:
    message = message_of(row["kind"], row["facts"], page_url="")
    return {
        "made_at": row["made_at"],
        "tenant_id": row["tenant_id"],
        "title": message.title,
        "lines": message.lines,
        "link": message.link,
        "deliveries": deliveries_text(row["deliveries"]),
        "is_given_up": any(each["state"] == "given_up" for each in row["deliveries"]),
    }


def _budget(row: Row, places: int) -> dict[str, Any]:
    spent_usd: Decimal = row["spent_usd"] or Decimal(0)
    reached = reached_percent(row)
    return {
        "name": row["name"],
        "tenant_id": row["tenant_id"],
        "calls": calls_of(row),
        "window": row["window"],
        "enforcement": {"hard": "refuses calls", "soft": "warns"}.get(row["enforcement"], "shadow: only counts"),
        "limit": figure(row["limit_usd"], places),
        "spent": at_least(row["spent_usd"], row["unpriced_count"], places),
        "reserved": UNKNOWN if row["reserved_usd"] is None else figure(row["reserved_usd"], places),
        "remaining": UNKNOWN if row["remaining_usd"] is None else figure(row["remaining_usd"], places),
        "used": percent(spent_usd, row["limit_usd"]),
        "share": min(1000, int(1000 * spent_usd / row["limit_usd"])) if row["limit_usd"] else 0,
        "reached": "" if reached is None else f"{reached} % reached",
        "resets_at": row["resets_at"],
    }
