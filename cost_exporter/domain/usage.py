"""Usage record: what one provider call consumed, under canonical names, and everything its price may depend on.

Quantities are inclusive totals (`quantity.py`). A missing key means unknown; an explicit zero means zero.
"""

from decimal import Decimal
from typing import Final

from cost_exporter.domain.quantity import TOKEN_QUANTITIES, Quantities
from cost_exporter.domain.value import fills, new, value

__all__ = ["CHAT_OPERATIONS", "UsageRecord", "copy_usage", "totals_not_stated"]

CHAT_OPERATIONS: Final = frozenset({"chat", "generate_content", "text_completion"})
"""Emitters differ in what they call an answer of a language model, which reads tokens and writes some."""
_STATED_BY: Final = {
    "input_tokens": frozenset({"input_tokens", "input_audio_tokens", "input_image_tokens", "input_video_tokens"}),
    "output_tokens": frozenset({"output_tokens", "output_audio_tokens", "output_image_tokens"}),
}
"""Quantities that state an input or output: the total, or its parts by kind. A cached part never states all of it."""


@value
class UsageRecord:
    """The usage of one provider call: the input of `PriceBook.price`."""

    provider: str
    """Canonical provider name, or "" if unknown."""
    model: str = ""
    """The response model where the provider stated it, else the requested one; "" if unknown."""
    request_model: str = ""
    """Priced as a fallback, with status `estimated`, where `model` is not in the book."""
    operation: str = ""
    quantities: Quantities
    at_unix_ns: int
    """Start of the call, UTC: the instant whose prices apply."""
    tenant: str = ""
    api_key: str = ""
    service_tier: str = ""
    mode: str = ""
    region: str = ""
    speed: str = ""
    plan: str = ""
    search_context: str = ""
    base_url: str = ""
    """Host the request went to, where known; it identifies who bills before the provider name does."""
    is_refused: bool = False
    """The vendor refused the work before doing any: costs 0 unless a price row says `bill_on_error`."""
    has_failed: bool = False
    is_estimated: bool = False
    """The quantities are the emitter's or our own estimate, not a meter reading."""
    is_incomplete: bool = False
    """More may have been used than the quantities say: something on the span spoke of usage and was not understood."""
    session_before: Quantities | None = None
    """What the same session consumed before this delta: prices that round by the session bill the difference."""
    vendor_cost_usd: Decimal | None = None
    """Cost that our own instrumentation took from the vendor's reply: trusted, becomes `reported`."""


@fills(UsageRecord)
def copy_usage(  # noqa: PLR0917 - defaults of keyword-only parameters cost more
    original: UsageRecord,
    quantities: Quantities,
    at_unix_ns: int,
    model: str,
    tenant: str = "",
    api_key: str = "",
    session_before: Quantities | None = None,
    vendor_cost_usd: Decimal | None = None,
) -> UsageRecord:
    """Return a copy with these fields replaced: `dataclasses.replace` for the path that every span takes."""
    copied = new(UsageRecord)
    copied.provider = original.provider
    copied.model = model
    copied.request_model = original.request_model
    copied.operation = original.operation
    copied.quantities = quantities
    copied.at_unix_ns = at_unix_ns
    copied.tenant = tenant
    copied.api_key = api_key
    copied.service_tier = original.service_tier
    copied.mode = original.mode
    copied.region = original.region
    copied.speed = original.speed
    copied.plan = original.plan
    copied.search_context = original.search_context
    copied.base_url = original.base_url
    copied.is_refused = original.is_refused
    copied.has_failed = original.has_failed
    copied.is_estimated = original.is_estimated
    copied.is_incomplete = original.is_incomplete
    copied.session_before = session_before
    copied.vendor_cost_usd = vendor_cost_usd
    return copied


def totals_not_stated(usage: UsageRecord) -> tuple[str, ...]:
    """Return which of its two totals a call lacks that reads tokens and writes some; none where it says no tokens.

    A stated 0 is a count. A call that failed may have had no answer; a refused one has neither.
    """
    quantities = usage.quantities
    if "output_tokens" in quantities and "input_tokens" in quantities:
        return ()
    counts_tokens = usage.operation in CHAT_OPERATIONS and not TOKEN_QUANTITIES.isdisjoint(quantities)
    if not counts_tokens or usage.is_refused:
        return ()
    return tuple(
        total
        for total, units in _STATED_BY.items()
        if units.isdisjoint(quantities) and not (total == "output_tokens" and usage.has_failed)
    )
