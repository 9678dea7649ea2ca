"""Units, services and SKUs under the names of FOCUS."""

from decimal import Decimal
from typing import Final

from cost_exporter.domain.money import to_plain

__all__ = ["meter_of", "pricing_unit", "service_of", "unit_name"]

_NAMES: Final = {"vendor_cost_usd": "US Dollars", "charge_usd": "US Dollars", "credits": "Credits"}
_BY_LEG: Final = {
    "llm": ("AI and Machine Learning", "Generative AI"),
    "tts": ("AI and Machine Learning", "Natural Language Processing"),
    "stt": ("AI and Machine Learning", "Natural Language Processing"),
    "telephony": ("Networking", "Other (Networking)"),
    "vector": ("Databases", "Other (Databases)"),
}
_OTHER: Final = ("AI and Machine Learning", "Other (AI and Machine Learning)")


def service_of(leg: str | None) -> tuple[str, str]:
    """Return the category and subcategory of a service."""
    return _BY_LEG.get(leg or "", _OTHER)


def unit_name(unit: str) -> str:
    """Return what is counted: all kinds of tokens are `Tokens`, all kinds of seconds `Seconds`."""
    for ending in ("tokens", "seconds"):
        if unit.endswith(ending):
            return ending.capitalize()
    return _NAMES.get(unit) or unit.replace("_", " ").title()


def meter_of(unit: str) -> str:
    """Return the meter of a SKU: `Cache Read Tokens`."""
    return unit.replace("_", " ").title()


def pricing_unit(unit: str, per: Decimal) -> str:
    """Return the unit that a price is for: `Tokens`, `1000000 Tokens`. `per` is a whole number."""
    return unit_name(unit) if per == 1 else f"{to_plain(per)} {unit_name(unit)}"
