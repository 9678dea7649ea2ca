"""The price book of this process, from which estimates and costs of calls are computed.

It is what ships with the package, with the files that CALLFARE_PRICES names over it, loaded once: reading it takes
half a second, so it happens as the first budget is made, never in a call.
"""

from functools import cache
from typing import TYPE_CHECKING

from callfare import environment

if TYPE_CHECKING:
    from cost_exporter.domain.pricing.book import PriceBook

__all__ = ["load_prices", "prices"]


def load_prices() -> None:
    """Load the book. Raises ModuleNotFoundError where the extra that brings it is not installed."""
    prices()


def prices() -> "PriceBook":
    """The book in force."""
    return _loaded(environment.price_files())


@cache
def _loaded(paths: tuple[str, ...]) -> "PriceBook":
    try:
        from cost_exporter.prices import load_book  # noqa: PLC0415 - only who sets a budget needs the extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"callfare.budget needs prices: pip install 'callfare[exporter]' ({error.name} is missing)", name=error.name
        ) from error
    return load_book(*paths)
