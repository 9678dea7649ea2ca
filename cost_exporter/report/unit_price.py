"""Unit prices as people say them: `$2.50 / 1M tokens`, `$0.0043 / min`. For tables only; data has unit and per."""

from decimal import Decimal
from typing import Final

from cost_exporter.domain.money import to_plain
from cost_exporter.report.amounts import with_thousands

__all__ = ["unit_price_text"]

_COUNTS: Final = {"1000": "1K", "1000000": "1M", "1000000000": "1B"}
_TIMES: Final = {"1": "s", "60": "min", "3600": "h"}
_WORDS: Final = {"characters": "chars"}
_CENT_PLACES: Final = 2


def unit_price_text(unit: str, price_usd: Decimal, per: Decimal) -> str:
    """Return the price of `per` units; each digit of it stays, and it has at least two places."""
    if unit.endswith("_usd"):
        return _share(price_usd, per)
    many = to_plain(per)
    if unit.endswith("_seconds"):
        return f"{_dollars(price_usd)} / {_TIMES.get(many) or f'{with_thousands(many)} s'}"
    words = "tokens" if unit.endswith("_tokens") else _WORDS.get(unit, unit.replace("_", " "))
    if many == "1":
        return f"{_dollars(price_usd)} / {_one_of(words)}"
    return f"{_dollars(price_usd)} / {_COUNTS.get(many) or with_thousands(many)} {words}"


def _share(price_usd: Decimal, per: Decimal) -> str:
    """Return the price of money: what a vendor states is taken as it is, of a charge there is a percentage."""
    return "as reported" if price_usd == per else f"{to_plain(price_usd * 100 / per)} %"


def _dollars(price_usd: Decimal) -> str:
    plain = to_plain(price_usd)
    whole, _, fraction = plain.partition(".")
    return f"${whole}.{fraction.ljust(_CENT_PLACES, '0')}"


def _one_of(words: str) -> str:
    """Return the noun for a single one: `web searches` -> `web search`."""
    if words.endswith("ches"):
        return words[:-2]
    return words.removesuffix("s")
