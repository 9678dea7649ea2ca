"""The list price of a charge, for `ListUnitPrice`: of its own row, or by the book that it was priced with.

A row of a list has its own price, and one with a factor the price before the factor. A price of the operator, a tenant
or an API key is looked up in the lists of the same version of the book. Nothing is guessed: where no list has a row, or
the row depends on how large a request was, there is no list price.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from cost_exporter.domain.money import CONTEXT
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.quantity import TOKEN_QUANTITIES
from cost_exporter.domain.usage import UsageRecord

__all__ = ["ListPrices"]

_OF_A_LIST: Final = re.compile(r"list[./]")
_FACTOR: Final = re.compile(r" x ([0-9.]+)$")
_UNIT_PLACES: Final = Decimal(1).scaleb(-18)
_LARGE: Final = 10**9
"""More tokens than any tier begins at."""
BookOfVersion = Callable[[str], PriceBook | None]


class ListPrices:
    """Finds list prices, each book looked up once."""

    def __init__(self, book_of_version: BookOfVersion) -> None:
        """Take what returns the list prices of a version of the book; None where it is not available any more."""
        self._book_of = lru_cache(maxsize=None)(book_of_version)

    def __call__(self, charge: Mapping[str, Any]) -> Decimal | None:
        """Return the list price for as many units as the charge's own is for; None where no list has one."""
        price_id = charge["price_id"] or ""
        if not _OF_A_LIST.match(price_id):
            return self._looked_up(charge)
        price_usd: Decimal = charge["unit_price_usd"]
        factor = _FACTOR.search(price_id)
        if factor is None:
            return price_usd
        return _rounded(CONTEXT.divide(price_usd, Decimal(factor[1]))) if Decimal(factor[1]) else None

    def _looked_up(self, charge: Mapping[str, Any]) -> Decimal | None:
        book = self._book_of(charge["book_version"])
        if book is None or charge["price_id"] in {None, "", "reported"}:
            return None
        small, large = (_price_usd(book, charge, count) for count in (1, _LARGE))
        return small if small == large else None


def _price_usd(book: PriceBook, charge: Mapping[str, Any], count: int) -> Decimal | None:
    """Return the price of a unit in a request of this size."""
    unit = charge["unit"]
    whole = {"input_tokens": count, "output_tokens": count} if unit in TOKEN_QUANTITIES else {}
    usage = UsageRecord(
        provider=charge["provider"],
        model=charge["model"],
        operation=charge["operation"],
        quantities={**whole, unit: 1 if unit not in whole else count},
        at_unix_ns=int(charge["hour"].replace(tzinfo=UTC).timestamp()) * 10**9,
        service_tier=charge["service_tier"] or "",
        mode=charge["mode"] or "",
    )
    for line in book.price(usage).lines:
        if line.unit == unit and line.unit_price_usd is not None and line.per is not None:
            return _rounded(CONTEXT.divide(CONTEXT.multiply(line.unit_price_usd, charge["per"]), line.per))
    return None


def _rounded(price_usd: Decimal) -> Decimal:
    return price_usd.quantize(_UNIT_PLACES, context=CONTEXT)
