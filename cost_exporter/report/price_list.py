"""The prices of the book as a list: searched, in order, each with its source, and where two sources disagree.

Two list rows of the same model, unit, conditions and period disagree where the price of one unit differs: the curated
one is in force, and the imported one shows what a public price library states.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from cost_exporter.domain.money import CONTEXT
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.pricing.rows import PriceRow
from cost_exporter.prices.rows_json import row_json

__all__ = ["ListedPrice", "listed_book", "listed_prices", "searched_prices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPrice:
    """One row, and whether another source states another price for the same."""

    row: PriceRow
    disagrees_with: tuple[PriceRow, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON, with the ids of the rows that state another price."""
        return row_json(self.row) | {"disagrees_with": [row.price_id for row in self.disagrees_with]}


@lru_cache(maxsize=2)
def listed_book(book: PriceBook) -> tuple[ListedPrice, ...]:
    """Return every row of a book, in order. Ten thousand rows, so it is done once a book."""
    return tuple(listed_prices(book.rows))


def listed_prices(rows: Iterable[PriceRow]) -> list[ListedPrice]:
    """Return rows by provider, model, unit and time, each with those that state another price."""
    alike: dict[tuple[str, ...], list[PriceRow]] = {}
    for row in rows:
        alike.setdefault(_subject(row), []).append(row)
    listed = [ListedPrice(row=row, disagrees_with=_others(row, group)) for group in alike.values() for row in group]
    return sorted(listed, key=lambda each: (*_subject(each.row), each.row.valid_from_unix_ns, each.row.is_imported))


def searched_prices(listed: Iterable[ListedPrice], words: str, *, only_disagreeing: bool = False) -> list[ListedPrice]:
    """Return the prices in which all words occur, in the order they have."""
    wanted = words.lower().split()
    return [
        each
        for each in listed
        if (each.disagrees_with or not only_disagreeing) and all(word in _text(each.row) for word in wanted)
    ]


def _text(row: PriceRow) -> str:
    return f"{row.provider} {row.model} {row.unit} {row.book}"


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
