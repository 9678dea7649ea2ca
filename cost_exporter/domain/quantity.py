"""Quantities: what providers meter, under one name each, and which are parts of which.

The names are public (usage JSON, cost lines and price rows use the same). `input_tokens` and `output_tokens`
are inclusive totals; the subsets below are parts of them. `disjoint_parts` splits totals once into parts
that do not overlap and add up to the totals, so nothing is billed twice.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

__all__ = [
    "FREE_WITHOUT_PRICE",
    "MAX_QUANTITY",
    "QUANTITIES",
    "InconsistentUsage",
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
    "pages",
    "vectors",
    "read_units",
    "charge_usd",
    "charges",
}
FREE_WITHOUT_PRICE: Final = frozenset(
    {"reasoning_tokens", "session_seconds", "calls", "messages", "requests", "channels"}
)
"""Quantities that cost nothing, and leave a quote `priced`, where the book has no row for them."""


class InconsistentUsage(ValueError):
    """A count is negative, fractional, absurd, or a part exceeds its whole."""


def disjoint_parts(quantities: Quantities) -> dict[str, Quantity]:
    """Split inclusive totals into parts that do not overlap.

    In the result `input_tokens` and `output_tokens` mean what is left after the other parts, and likewise
    `cache_read_tokens` after its audio part and `input_audio_tokens` after its cached part. The parts of a
    total add up to it. `cache_write_tokens` holds what is not known to be 5-minute or 1-hour writes.
    `reasoning_tokens` stays in the result for price rows that name it, but is not taken out of the output.
    Raises `InconsistentUsage` where a part exceeds its whole.
    """
    raise NotImplementedError
