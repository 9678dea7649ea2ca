"""A quote: what one usage costs, line by line, and how sure that is.

Every priced quantity of the usage ends up in exactly one line. `amount_usd` is the exact sum of the priced
lines, or None if no line is priced; it is never 0 for unknown.
"""

from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from cost_exporter.domain.money import to_plain
from cost_exporter.domain.value import value

__all__ = ["BILLED_STATUSES", "Line", "Quote", "Rate", "Status", "is_unpriced"]

Status = Literal["priced", "reported", "estimated", "partial", "unpriced", "no_usage", "invalid", "duplicate"]
"""What each means: `pricing/explain.py`. Pricing decides it (`pricing/quote.py`, and for what a span left out
`PriceBook.price_of_call`); only `duplicate` comes from settling."""
BILLED_STATUSES: Final[frozenset[str]] = frozenset({"priced", "reported", "estimated", "partial"})
"""Statuses that carry a cost."""

_UNPRICED: Final[frozenset[str]] = frozenset({"unpriced", "no_usage", "invalid", "partial"})


def is_unpriced(status: Status) -> bool:
    """Return whether a record of this status counts as unpriced in totals: its cost is unknown in whole or part."""
    return status in _UNPRICED


class Rate(NamedTuple):
    """The price that a line multiplies by: one object for all lines of a price row."""

    unit: str
    price_usd: Decimal | None = None
    """Price for `per` units; None where the book has none for this unit."""
    per: Decimal | None = None
    price_id: str = ""
    """The price row, enough to find it again: book, provider, model, unit, conditions and validity."""


class Line(NamedTuple):
    """One quantity of a usage and what it costs. `amount_usd` is None where the book has no price for it."""

    rate: Rate
    quantity: Decimal
    billed_quantity: Decimal
    """After increment, minimum and multiplier."""
    amount_usd: Decimal | None
    """Quantised once, half-even, to 12 places."""

    @property
    def unit(self) -> str:
        """The unit that is counted."""
        return self.rate.unit

    @property
    def unit_price_usd(self) -> Decimal | None:
        """Price for `per` units."""
        return self.rate.price_usd

    @property
    def per(self) -> Decimal | None:
        """How many units the price is for."""
        return self.rate.per

    @property
    def price_id(self) -> str:
        """The price row."""
        return self.rate.price_id

    def as_json(self) -> dict[str, Any]:
        """Return the line in the shape of the contract; money and quantities as strings."""
        return {
            "unit": self.unit,
            "quantity": to_plain(self.quantity),
            "billed_quantity": to_plain(self.billed_quantity),
            "unit_price": None if self.unit_price_usd is None else to_plain(self.unit_price_usd),
            "per": None if self.per is None else to_plain(self.per),
            "amount": None if self.amount_usd is None else to_plain(self.amount_usd),
            "price_id": self.price_id,
        }


@value
class Quote:
    """The cost of one usage."""

    amount_usd: Decimal | None
    status: Status
    lines: tuple[Line, ...] = ()
    issues: tuple[str, ...] = ()
    """Short codes with an optional explanation after a colon, e.g. `assumed_plan: pay-as-you-go`."""
    book_version: str = ""
