"""Price rows, usages and amounts for tests of pricing, written in few words."""

from decimal import Decimal as D
from typing import Any

from cost_exporter.domain import PriceRow, Quote, UsageRecord

M = D(1_000_000)
DAY = 86_400 * 10**9
NOON = 20_000 * DAY + DAY // 2  # 2024-10-04, a Friday
RATES = {"input_tokens": "2", "output_tokens": "8"}


def row(unit: str, price: str, **changes: Any) -> PriceRow:
    fields: dict[str, Any] = {"provider": "acme", "model": "nova", "per": M} | changes
    return PriceRow(unit=unit, price_usd=D(price), **fields)


def rows(prices: dict[str, str], **changes: Any) -> list[PriceRow]:
    return [row(unit, price, **changes) for unit, price in prices.items()]


def usage(quantities: dict[str, Any] | None = None, **changes: Any) -> UsageRecord:
    fields: dict[str, Any] = {"provider": "acme", "model": "nova", "at_unix_ns": NOON} | changes
    return UsageRecord(
        quantities={"input_tokens": 1_000, "output_tokens": 100} if quantities is None else quantities, **fields
    )


def amounts(quote: Quote) -> dict[str, D | None]:
    return {line.unit: line.amount_usd for line in quote.lines}


LIST = rows(RATES)
