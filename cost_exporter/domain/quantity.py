"""Quantities: what providers meter, under one name each, and which are parts of which.

The names are public (usage JSON, cost lines and price rows use the same). `input_tokens` and `output_tokens`
are inclusive totals; the subsets below are parts of them. `disjoint_parts` splits totals once into parts
that do not overlap and add up to the totals, so nothing is billed twice.

Other places have a row for each quantity; CONTRIBUTING.md ("Add a quantity") lists them.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

__all__ = [
    "FREE_WITHOUT_PRICE",
    "INPUT_PARTS",
    "MAX_QUANTITY",
    "OUTPUT_PARTS",
    "QUANTITIES",
    "TOKEN_QUANTITIES",
    "WHOLE_QUANTITIES",
    "InconsistentUsage",
    "PartsExceedInput",
    "Quantities",
    "Quantity",
    "disjoint_parts",
]

Quantity = int | Decimal
Quantities = Mapping[str, Quantity]

MAX_QUANTITY: Final = 10**12
"""A count above this is absurd for one call; the record is kept as `invalid`."""

TOKEN_QUANTITIES: Final = frozenset(
    {
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "input_audio_tokens",
        "cache_audio_read_tokens",
        "output_audio_tokens",
        "input_image_tokens",
        "cache_image_read_tokens",
        "input_video_tokens",
        "output_image_tokens",
        "reasoning_tokens",
    }
)
QUANTITIES: Final = TOKEN_QUANTITIES | {
    "characters",
    "credits",
    "audio_seconds",
    "session_seconds",
    "call_seconds",
    "channels",
    "output_audio_seconds",
    "calls",
    "messages",
    "requests",
    "web_searches",
    "images",
    "video_seconds",
    "citation_tokens",
    "pages",
    "vectors",
    "read_units",
    "write_units",
    "rerank_units",
    "paid_extras",
    "charge_usd",
    "charges",
}
FREE_WITHOUT_PRICE: Final = frozenset(
    {"reasoning_tokens", "session_seconds", "calls", "messages", "requests", "channels"}
)
"""Quantities that cost nothing, and leave a quote `priced`, where the book has no row for them."""

WHOLE_QUANTITIES: Final = TOKEN_QUANTITIES | {
    "characters",
    "calls",
    "messages",
    "requests",
    "web_searches",
    "images",
    "citation_tokens",
    "vectors",
    "channels",
    "paid_extras",
    "charges",
}
"""Quantities that are counted, not measured: a fraction of one is a mistake of the meter."""

INPUT_PARTS: Final = (
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "cache_audio_read_tokens",
    "input_image_tokens",
    "cache_image_read_tokens",
    "input_video_tokens",
)
_OUTPUT_PARTS: Final = ("output_audio_tokens", "output_image_tokens")
OUTPUT_PARTS: Final = (*_OUTPUT_PARTS, "reasoning_tokens")
_SUBSETS: Final = frozenset({*INPUT_PARTS, *OUTPUT_PARTS})


class InconsistentUsage(ValueError):
    """A count is negative, fractional, absurd, or a part exceeds its whole."""


class PartsExceedInput(InconsistentUsage):
    """The parts of the input add up to more than it."""


def disjoint_parts(quantities: Quantities) -> dict[str, Quantity]:
    """Split inclusive totals into parts that do not overlap.

    In the result `input_tokens` and `output_tokens` mean what is left after the other parts, and likewise
    `cache_read_tokens` after its audio and image parts, and `input_audio_tokens` and `input_image_tokens` after their
    cached parts. The parts of a total add up to it. `cache_write_tokens` holds what is not known to be 5-minute or
    1-hour writes. `reasoning_tokens` stays in the result for price rows that name it, but is not taken out of the
    output. A total that is not given stays unknown: its parts are kept and nothing is made up for the rest.
    Raises `InconsistentUsage` where a part exceeds its whole.
    """
    parts = dict(quantities)
    for name, quantity in quantities.items():
        if type(quantity) is not int or not 0 <= quantity <= MAX_QUANTITY:
            parts[name] = _checked(name, quantity)
    if not _SUBSETS.isdisjoint(parts):
        if "cache_write_tokens" in parts:
            _split_cache_writes(parts)
        if "cache_audio_read_tokens" in parts:
            _split_cached(parts, "cache_audio_read_tokens", "input_audio_tokens")
        if "cache_image_read_tokens" in parts:
            _split_cached(parts, "cache_image_read_tokens", "input_image_tokens")
        _take_out(parts, "input_tokens", INPUT_PARTS)
        _take_out(parts, "output_tokens", _OUTPUT_PARTS)
        if "reasoning_tokens" in parts:
            _check_reasoning(parts, quantities)
    return parts


def _checked(name: str, quantity: Quantity) -> Quantity:
    """Return the quantity, whole numbers as int; refuse what no meter can show."""
    if not Decimal(quantity).is_finite():
        raise InconsistentUsage(f"{name} is not a number")
    if quantity < 0:
        raise InconsistentUsage(f"{name} is negative")
    if quantity > MAX_QUANTITY:
        raise InconsistentUsage(f"{name} is more than {MAX_QUANTITY:,}")
    if name not in WHOLE_QUANTITIES:
        return quantity
    if quantity != int(quantity):
        raise InconsistentUsage(f"{name} is a fraction")
    return int(quantity)


def _split_cache_writes(parts: dict[str, Quantity]) -> None:
    """Leave in `cache_write_tokens` what is neither a 5-minute nor a 1-hour write; drop it where nothing is left."""
    known = parts.get("cache_write_5m_tokens", 0) + parts.get("cache_write_1h_tokens", 0)
    if not known:
        return
    rest = parts.pop("cache_write_tokens") - known
    if rest < 0:
        raise InconsistentUsage("the 5-minute and 1-hour parts exceed cache_write_tokens")
    if rest:
        parts["cache_write_tokens"] = rest


def _split_cached(parts: dict[str, Quantity], both: str, kind: str) -> None:
    """Take cached audio, which is cached *and* audio, out of both; cached images likewise."""
    for whole in ("cache_read_tokens", kind):
        if whole in parts:
            parts[whole] -= parts[both]
            if parts[whole] < 0:
                raise InconsistentUsage(f"{both} exceeds {whole}")


def _take_out(parts: dict[str, Quantity], total: str, subsets: tuple[str, ...]) -> None:
    """Leave in `total` what its subsets do not cover."""
    if total not in parts:
        return
    rest = parts[total]
    for subset in subsets:
        if subset in parts:
            rest -= parts[subset]
    if rest < 0:
        error = PartsExceedInput if total == "input_tokens" else InconsistentUsage
        raise error(f"the parts of {total} exceed it")
    parts[total] = rest


def _check_reasoning(parts: dict[str, Quantity], quantities: Quantities) -> None:
    """Reasoning is not taken out, but it cannot exceed the output it is part of."""
    if "output_tokens" in quantities and parts["reasoning_tokens"] > quantities["output_tokens"]:
        raise InconsistentUsage("reasoning_tokens exceeds output_tokens")
