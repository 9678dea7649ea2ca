"""Margin: what a workflow earned, what the payment cost, what is left. Exact; cents are for display."""

from collections.abc import Iterable
from decimal import Decimal

from cost_exporter.domain.money import CONTEXT, total
from cost_exporter.domain.value import value

__all__ = ["FeeRule", "fee_usd", "profit_usd"]


@value
class FeeRule:
    """A payment fee: a share of the revenue and a fixed part, e.g. 2.9 % + $0.30."""

    percent: Decimal
    fixed_usd: Decimal


def fee_usd(revenue_usd: Decimal | None, rules: Iterable[FeeRule]) -> Decimal | None:
    """Return the payment fees on a revenue; None without revenue."""
    if revenue_usd is None:
        return None
    return total(CONTEXT.add(CONTEXT.multiply(revenue_usd, rule.percent.scaleb(-2)), rule.fixed_usd) for rule in rules)


def profit_usd(revenue_usd: Decimal | None, fee: Decimal | None, cost_usd: Decimal) -> Decimal | None:
    """Return what is left of the revenue after fees and provider cost; None without revenue."""
    if revenue_usd is None:
        return None
    return CONTEXT.subtract(revenue_usd, total((fee or Decimal(0), cost_usd)))
