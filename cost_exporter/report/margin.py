"""What a workflow cost by category, and what is left of its revenue: lines of text under a report.

An unknown cost makes a category's cost a lower bound, as it does with the total, and the profit an upper one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from cost_exporter.report.amounts import cost_text, total_text

__all__ = ["margin_lines", "unpriced_counts"]

Row = Mapping[str, Any]


def margin_lines(workflow: Row, records: Sequence[Row]) -> list[str]:
    """Return name and amount, a line each: the categories, and where revenue is known, it, its fee and the profit."""
    named = [*_categories(workflow, records), *_margin(workflow)]
    width = max((len(name) for name, _ in named), default=0)
    return [f"  {name:<{width}}  {text}" for name, text in named]


def unpriced_counts(records: Iterable[Row], part_of: Callable[[Row], str]) -> Counter[str]:
    """Return how many records of unknown or partly known cost each part has: its cost is then a lower bound."""
    return Counter(part_of(record) for record in records if _is_unpriced(record))


def _categories(workflow: Row, records: Sequence[Row]) -> list[tuple[str, str]]:
    by_category: Mapping[str, Any] = workflow.get("by_category") or {}
    unpriced = unpriced_counts(records, lambda record: record["category"])
    return [
        (f"category {name}", total_text(Decimal(by_category[name]), unpriced[name])) for name in sorted(by_category)
    ]


def _is_unpriced(record: Row) -> bool:
    """Return whether a record counts as unpriced in totals (semantics 10); a duplicate costs nothing of its own."""
    return record["status"] != "duplicate" and (record["cost_usd"] is None or record["status"] == "partial")


def _margin(workflow: Row) -> list[tuple[str, str]]:
    revenue_usd: Decimal | None = workflow.get("revenue_usd")
    if revenue_usd is None:
        return []
    profit = cost_text(workflow["profit_usd"])
    return [
        ("revenue", cost_text(revenue_usd)),
        ("payment fee", cost_text(workflow["fee_usd"])),
        ("profit", f"≤ {profit}" if workflow["unpriced_count"] else profit),
    ]
