"""The cost of a workflow by category, and its profit where it has revenue: lines of text under a report.

An unknown cost makes a category's cost a lower bound, as it does with the total, and the profit an upper one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from cost_exporter.domain.quote import is_unpriced
from cost_exporter.report.amounts import cost_text, total_text

__all__ = ["margin_lines", "profit_is_upper_bound", "unpriced_counts"]

Row = Mapping[str, Any]


def margin_lines(workflow: Row, records: Sequence[Row], places: int | None = None) -> list[str]:
    """Return name and amount, a line each: the categories, and where revenue is known, it, its fee and the profit."""
    named = [*_categories(workflow, records, places), *_margin(workflow, places)]
    width = max((len(name) for name, _ in named), default=0)
    return [f"  {name:<{width}}  {text}" for name, text in named]


def profit_is_upper_bound(workflow: Row) -> bool:
    """Return whether less than the profit may be left: a call's cost is not known, or the payment fee is not."""
    return workflow["fee_usd"] is None or int(workflow["unpriced_count"] or 0) > 0


def unpriced_counts(records: Iterable[Row], part_of: Callable[[Row], str]) -> Counter[str]:
    """Return how many records of unknown or partly known cost each part has: its cost is then a lower bound."""
    return Counter(part_of(record) for record in records if is_unpriced(record["status"]))


def _categories(workflow: Row, records: Sequence[Row], places: int | None) -> list[tuple[str, str]]:
    by_category: Mapping[str, Any] = workflow.get("by_category") or {}
    unpriced = unpriced_counts(records, lambda record: record["category"])
    return [
        (f"category {name}", _category_text(by_category[name], unpriced[name], places)) for name in sorted(by_category)
    ]


def _category_text(known_usd: Any, unpriced_count: int, places: int | None) -> str:
    """Return what a category cost: a dash where nothing of it is known."""
    if known_usd is None:
        return f"- ({unpriced_count} unpriced)"
    return total_text(Decimal(str(known_usd)), unpriced_count, places)


def _margin(workflow: Row, places: int | None) -> list[tuple[str, str]]:
    revenue_usd: Decimal | None = workflow.get("revenue_usd")
    if revenue_usd is None:
        return []
    fee_usd: Decimal | None = workflow["fee_usd"]
    return [
        ("revenue", cost_text(revenue_usd, places)),
        ("payment fee", "- (no fee rule)" if fee_usd is None else cost_text(fee_usd, places)),
        ("profit", ("≤ " if profit_is_upper_bound(workflow) else "") + cost_text(workflow["profit_usd"], places)),
    ]
