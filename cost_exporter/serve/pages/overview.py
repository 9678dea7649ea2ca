"""The first page: what today and this month cost, what the month will come to, and where the money goes."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.cost import LEGS, leg_of
from cost_exporter.domain.money import total
from cost_exporter.report.amounts import cost_text
from cost_exporter.report.forecast import forecast_of
from cost_exporter.report.spend import Spend, SpendGroup, spend_of
from cost_exporter.serve.access import Access
from cost_exporter.serve.pages.budgets import budget_rows
from cost_exporter.serve.pages.charts import Column, axis_top, stacked_columns
from cost_exporter.serve.pages.figures import LEG_WORDS, at_least, at_most, column_places, figure
from cost_exporter.serve.pages.workflows import listed_rows
from cost_exporter.serve.web import Web
from cost_exporter.store.browsing import margin_of_period
from cost_exporter.store.reading import Period, Reader

__all__ = ["overview"]

_CHART_DAYS: Final = 30
_LISTED: Final = 6


def overview(web: Web, access: Access) -> dict[str, Any]:
    """Return what fills the page."""
    today, tenant = web.today(), access.tenant
    month = Period(since=_midnight(today.replace(day=1)), until=_midnight(today + timedelta(days=1)))
    shown_since = today - timedelta(days=_CHART_DAYS - 1)
    days = Period(since=_midnight(min(shown_since, today.replace(day=1))), until=month.until)
    with web.lend(access.tenants) as reader:
        by_leg = _spend(reader, days, ("day", "operation"), tenant)
        tenants = _spend(reader, month, ("tenant_id",), tenant)
        models = _spend(reader, month, ("provider", "model"), tenant)
        expensive = reader.top(month, limit=_LISTED, tenant=tenant)
        latest = reader.latest(now=datetime.now(UTC), count=_LISTED, tenant=tenant)
        budgets = reader.budgets(tenant=tenant)
        margin = margin_of_period(reader, Period(since=_midnight(today), until=month.until), tenant)
    now, so_far = _within(by_leg, today, today), _within(by_leg, today.replace(day=1), today)
    chart = _within(by_leg, shown_since, today)
    return {
        "is_empty": not latest,
        "month_name": f"{today:%B %Y}",
        "month_start": today.replace(day=1).isoformat(),
        "today": _sum(now),
        "month": _sum(so_far),
        "forecast": _forecast(by_leg, today, is_bound=any(group.unpriced_count for group in so_far)),
        "unpriced_count": sum(group.unpriced_count for group in chart),
        "call_count": sum(group.request_count for group in chart),
        "margin": _margin(margin),
        "chart": _chart(chart, shown_since, today),
        "tenants": _top(tenants),
        "models": _top(models),
        "expensive": listed_rows(expensive),
        "latest": listed_rows(latest),
        "budgets": budget_rows(sorted(budgets, key=_used_share, reverse=True)[:_LISTED]),
    }


def _used_share(budget: Mapping[str, Any]) -> Decimal:
    spent_usd, limit_usd = budget["spent_usd"] or Decimal(0), budget["limit_usd"]
    return spent_usd / limit_usd if limit_usd else Decimal(1)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(0), UTC)


def _spend(reader: Reader, period: Period, by: tuple[str, ...], tenant: str | None) -> Spend:
    return spend_of(reader.spend(period, by, tenant), since=period.since, until=period.until, columns=by)


def _within(by_day: Spend, first: date, last: date) -> list[SpendGroup]:
    return [group for group in by_day.groups if first <= group.keys[0] <= last]


def _known(groups: Sequence[SpendGroup]) -> Decimal:
    return total(group.cost_usd for group in groups if group.cost_usd is not None)


def _sum(groups: Sequence[SpendGroup]) -> dict[str, Any]:
    unpriced_count = sum(group.unpriced_count for group in groups)
    is_unknown = bool(groups) and all(group.cost_usd is None for group in groups)
    cost = None if is_unknown else _known(groups)
    return {"cost": at_least(cost, unpriced_count), "call_count": sum(group.request_count for group in groups)}


def _forecast(by_day: Spend, today: date, *, is_bound: bool) -> dict[str, Any] | None:
    costs: dict[date, list[SpendGroup]] = {}
    for group in by_day.groups:
        costs.setdefault(group.keys[0], []).append(group)
    forecast = forecast_of({day: _known(groups) for day, groups in costs.items()}, today)
    if forecast is None:
        return None
    return {
        "expected": at_least(forecast.expected_usd, int(is_bound)),
        "lowest": figure(forecast.lowest_usd),
        "highest": figure(forecast.highest_usd),
        "full_days": forecast.full_days,
        "remaining_days": forecast.remaining_days,
    }


def _margin(row: dict[str, Any]) -> dict[str, Any] | None:
    if not row["workflow_count"]:
        return None
    is_bound = row["upper_bound_count"] > 0
    return {
        "profit": at_most(row["profit_usd"], is_bound=is_bound),
        "revenue": figure(row["revenue_usd"]),
        "workflow_count": row["workflow_count"],
    }


def _chart(groups: Sequence[SpendGroup], first: date, last: date) -> dict[str, Any]:
    """Return cost by day and leg: as columns, and as a table."""
    days = [first + timedelta(days=back) for back in range((last - first).days + 1)]
    cells: dict[tuple[date, str], list[SpendGroup]] = {}
    for group in groups:
        cells.setdefault((group.keys[0], leg_of(group.keys[1] or "")), []).append(group)
    legs = [leg for leg in LEGS if any(each == leg for _, each in cells)]
    columns = [_column(day, legs, cells) for day in days]
    places = column_places(_known(found) for found in cells.values())
    rows = [
        {
            "label": day.isoformat(),
            "cells": [_cell(cells.get((day, leg), []), places) for leg in legs],
            "total": _cell([one for leg in legs for one in cells.get((day, leg), [])], places),
        }
        for day in reversed(days)
        if any((day, leg) in cells for leg in legs)
    ]
    sums = [[one for (_, each), found in cells.items() if each == leg for one in found] for leg in legs]
    return {
        "svg": stacked_columns(columns, legs, f"Cost per day from {first} to {last}, stacked by leg; the table has it"),
        "top": figure(axis_top(columns)),
        "half": figure(axis_top(columns) / 2),
        "first": first.isoformat(),
        "middle": days[len(days) // 2].isoformat(),
        "last": last.isoformat(),
        "legend": [(leg, LEG_WORDS[leg], _cell(found, None)) for leg, found in zip(legs, sums, strict=True)],
        "rows": rows,
    }


def _column(day: date, legs: Sequence[str], cells: dict[tuple[date, str], list[SpendGroup]]) -> Column:
    parts = {leg: _known(cells.get((day, leg), [])) for leg in legs}
    amounts = [f"{LEG_WORDS[leg]} {cost_text(cost, 4)}" for leg, cost in parts.items() if cost]
    sign = "≥ " if any(one.unpriced_count for leg in legs for one in cells.get((day, leg), [])) else ""
    text = f"{day}: {sign}{cost_text(total(parts.values()), 4)}" + (f" ({', '.join(amounts)})" if amounts else "")
    return Column(label=day.isoformat(), parts=parts, text=text)


def _cell(groups: Sequence[SpendGroup], places: int | None) -> Any:
    if not groups:
        return ""
    is_unknown = all(group.cost_usd is None for group in groups)
    unpriced_count = sum(group.unpriced_count for group in groups)
    return at_least(None if is_unknown else _known(groups), unpriced_count, places)


def _top(spend: Spend) -> dict[str, Any]:
    """Return the most expensive groups of a report, with their shares as bars."""
    ordered = spend.ordered("cost", None).groups
    shown = ordered[:_LISTED]
    places = column_places(group.cost_usd for group in shown)
    most = max((group.cost_usd or Decimal(0) for group in shown), default=Decimal(0))
    return {
        "rows": [
            {
                "keys": [key or "" for key in group.keys],
                "cost": at_least(group.cost_usd, group.unpriced_count, places),
                "call_count": group.request_count,
                "share": int(1000 * (group.cost_usd or Decimal(0)) / most) if most else 0,
            }
            for group in shown
        ],
        "more": len(ordered) - len(shown),
    }
