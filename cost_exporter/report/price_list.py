"""The prices of the book as a list: searched, in order, each with its source, and where two sources disagree.

Two list rows of the same model, unit, conditions and period disagree where the price of one unit differs: the curated
one is in force, and the imported one shows what a public price library states.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cost_exporter.domain.money import CONTEXT
from cost_exporter.domain.pricing.rows import PriceRow
from cost_exporter.prices.rows_json import row_json

__all__ = ["ListedPrice", "listed_prices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPrice:
    """One row, and whether another source states another price for the same."""

    row: PriceRow
    disagrees_with: tuple[PriceRow, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON, with the ids of the rows that state another price."""
        return row_json(self.row) | {"disagrees_with": [row.price_id for row in self.disagrees_with]}


def listed_prices(rows: Iterable[PriceRow], words: str, *, only_disagreeing: bool = False) -> list[ListedPrice]:
    """Return the rows in which all words occur, by provider and model."""
    wanted = words.lower().split()
    found = [row for row in rows if all(word in f"{row.provider} {row.model} {row.unit} {row.book}" for word in wanted)]
    alike: dict[tuple[str, ...], list[PriceRow]] = {}
    for row in found:
        alike.setdefault(_subject(row), []).append(row)
    listed = [ListedPrice(row=row, disagrees_with=_others(row, alike[_subject(row)])) for row in found]
    if only_disagreeing:
        listed = [each for each in listed if each.disagrees_with]
    return sorted(listed, key=lambda each: (*_subject(each.row), each.row.valid_from_unix_ns, each.row.is_imported))


def _subject(row: PriceRow) -> tuple[str, ...]:
    return (row.provider, row.model, row.match, row.unit, row.book, row.conditions_key)


def _others(row: PriceRow, alike: Sequence[PriceRow]) -> tuple[PriceRow, ...]:
    return tuple(
        other
        for other in alike
        if other is not row
        and other.is_imported != row.is_imported
        and _overlap(row, other)
        and _one(other) != _one(row)
    )


def _overlap(one: PriceRow, other: PriceRow) -> bool:
    return one.valid_from_unix_ns < other.valid_to_unix_ns and other.valid_from_unix_ns < one.valid_to_unix_ns


def _one(row: PriceRow) -> Decimal:
    return CONTEXT.divide(row.price_usd, row.per)
