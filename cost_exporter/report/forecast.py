"""What a month will come to: what was spent so far, and what its days left cost if they are like the last week.

    month to date + mean of the last 7 full days x days left

The range takes the cheapest and the most expensive of these days instead of their mean. Before there are three full
days there is no forecast: two days say nothing about a month. Where a cost is not known, all of it is a lower bound.
"""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.money import CONTEXT, quantise_line, to_plain, total

__all__ = ["Forecast", "forecast_of"]

_DAYS_MAX: Final = 7
_DAYS_MIN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The cost of a month when it is over."""

    expected_usd: Decimal
    lowest_usd: Decimal
    highest_usd: Decimal
    full_days: int
    """How many days it rests on."""
    remaining_days: int

    def as_json(self) -> dict[str, Any]:
        """Return the forecast as JSON."""
        return {
            "expected_usd": to_plain(self.expected_usd),
            "lowest_usd": to_plain(self.lowest_usd),
            "highest_usd": to_plain(self.highest_usd),
            "full_days": self.full_days,
            "remaining_days": self.remaining_days,
        }


def forecast_of(cost_by_day: Mapping[date, Decimal], today: date) -> Forecast | None:
    """Return the forecast of the month of `today`; None before three full days.

    `cost_by_day` has every day on which anything was spent, of this month and of the seven days before today. A day
    between the first of them and today that is missing cost nothing.
    """
    first = min((day for day in cost_by_day if day < today), default=today)
    full = [today - timedelta(days=back) for back in range(1, _DAYS_MAX + 1) if today - timedelta(days=back) >= first]
    if len(full) < _DAYS_MIN:
        return None
    costs = [cost_by_day.get(day, Decimal(0)) for day in full]
    so_far = total(cost for day, cost in cost_by_day.items() if today.replace(day=1) <= day <= today)
    remaining_days = calendar.monthrange(today.year, today.month)[1] - today.day
    mean = CONTEXT.divide(total(costs), Decimal(len(costs)))

    def at(daily_usd: Decimal) -> Decimal:
        return quantise_line(CONTEXT.add(so_far, CONTEXT.multiply(daily_usd, Decimal(remaining_days)))).normalize(
            CONTEXT
        )

    return Forecast(
        expected_usd=at(mean),
        lowest_usd=at(min(costs)),
        highest_usd=at(max(costs)),
        full_days=len(full),
        remaining_days=remaining_days,
    )
