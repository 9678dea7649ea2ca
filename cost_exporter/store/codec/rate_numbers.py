"""Numbers under which a database keeps the rates of a price book, so that each line need not spell its price out.

Only prices that are the same for everybody have one: those of lists and of the operator. What a tenant or an API key
pays is written in its own records and nowhere else. So is a rate that has no number yet.
"""

from collections.abc import Iterable
from typing import Final

from cost_exporter.domain.quote import Rate

__all__ = ["RateNumbers", "UnknownRate"]

_OF_EVERYBODY: Final = ("list/", "list.", "operator/", "operator.")
_BY_FACTOR: Final = " x "
"""In the name of a price that a factor makes, which may be one tenant's."""
_REMEMBERED_MAX: Final = 4_096


class UnknownRate(LookupError):
    """A line names a rate by a number that has not been read from the database yet."""


class RateNumbers:
    """The numbers of one database, as far as they are known here."""

    def __init__(self) -> None:
        """Know none."""
        self._number_by_rate: dict[Rate, int] = {}
        self._rate_by_number: dict[int, Rate] = {}
        self._remembered: dict[int, tuple[Rate, int | None]] = {}
        self.wanted: set[Rate] = set()
        """Rates that were written out and could have a number."""

    def learn(self, rates: Iterable[tuple[int, Rate]]) -> None:
        """Know these numbers too."""
        for number, rate in rates:
            self._rate_by_number.setdefault(number, rate)
            self._number_by_rate.setdefault(rate, number)
        self.wanted -= self._number_by_rate.keys()
        self._remembered.clear()

    def rate(self, number: int) -> Rate:
        """Return the rate of this number. Raises `UnknownRate`."""
        try:
            return self._rate_by_number[number]
        except KeyError:
            raise UnknownRate(number) from None

    def number_of(self, rate: Rate) -> int | None:
        """Return the number of a rate, None where it has none."""
        # By identity: a price book makes one object for all lines of a price, and comparing four fields is expensive.
        found = self._remembered.get(id(rate))
        if found is not None:
            return found[1]
        number = self._number_by_rate.get(rate)
        if number is None and rate.price_id.startswith(_OF_EVERYBODY) and _BY_FACTOR not in rate.price_id:
            self.wanted.add(rate)
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[id(rate)] = rate, number  # kept alive, so that its id is not given to another
        return number
