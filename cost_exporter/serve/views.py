"""The database's rows as the API returns them. Pure: rows come in, JSON goes out."""

import calendar
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from cost_exporter.domain.money import CONTEXT, quantise_line, to_plain
from cost_exporter.report.amounts import jsonable
from cost_exporter.report.spend import Spend

__all__ = ["costs_body", "model_body", "projected_month", "usage_stats_body"]


def usage_stats_body(trace_id: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the usage statistics of one workflow. A trace that is split over tenants has those of each."""
    stats = [{"tenant_id": row["tenant_id"], "usage_stats": jsonable(row["usage_stats"])} for row in rows]
    return {"trace_id": trace_id} | (stats[0] if len(stats) == 1 else {"workflows": stats})


def costs_body(spend: Spend, by_day: Spend, today: date) -> dict[str, Any]:
    """Return spend by the groups asked for, by day, on average, and what the month comes to at this rate."""
    return {
        "start_date": spend.since.date().isoformat(),
        "end_date": spend.until.date().isoformat(),
        **spend.as_json(),
        "cost_is_lower_bound": spend.unpriced_count > 0,
        "daily_breakdown": by_day.as_json()["groups"],
        "average_daily_cost": to_plain(_average(by_day.total_cost_usd, _day_count(spend.since, spend.until, today))),
        "projected_monthly_cost": to_plain(projected_month(by_day, today)),
    }


def model_body(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what each model cost, under `provider/model`, the most expensive first."""
    named = {f"{row['provider'] or ''}/{row['model'] or ''}": row for row in rows}
    return {"model_breakdown": {name: _model_figures(row) for name, row in named.items()}}


def _model_figures(row: dict[str, Any]) -> dict[str, Any]:
    figures = {column: jsonable(figure) for column, figure in row.items() if column not in {"provider", "model"}}
    return figures | {"cost_is_lower_bound": row["unpriced_count"] > 0}


def projected_month(by_day: Spend, today: date) -> Decimal:
    """Return what this month comes to if its remaining days cost what the days so far did on average."""
    days_so_far = [(group.keys[0], group.cost_usd or Decimal(0)) for group in by_day.groups]
    first = max(today.replace(day=1), by_day.since.astimezone(UTC).date())
    spent = sum((cost_usd for day, cost_usd in days_so_far if first <= day <= today), Decimal(0))
    elapsed_days = (today - first).days + 1
    month_days = calendar.monthrange(today.year, today.month)[1]
    return _average(CONTEXT.multiply(spent, Decimal(month_days)), elapsed_days)


def _day_count(since: datetime, until: datetime, today: date) -> int:
    """Return how many days of the period have begun: days still to come are no days without cost."""
    last = min(until.astimezone(UTC) - timedelta(microseconds=1), datetime.combine(today, datetime.max.time(), UTC))
    return max(1, (last.date() - since.astimezone(UTC).date()).days + 1)


def _average(cost_usd: Decimal, count: int) -> Decimal:
    """Return a mean at the precision of a cost line: a mean of money is a display figure, not a sum."""
    return quantise_line(CONTEXT.divide(cost_usd, Decimal(max(1, count))))
