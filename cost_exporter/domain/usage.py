"""Usage record: what one provider call consumed, under canonical names, and everything its price may depend on.

Quantities are inclusive totals (`quantity.py`). A missing key means unknown; an explicit zero means zero.
"""

from decimal import Decimal

from cost_exporter.domain.quantity import Quantities
from cost_exporter.domain.value import value

__all__ = ["UsageRecord"]


@value
class UsageRecord:
    """What one provider call consumed. This is the input of `PriceBook.price`."""

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
    session_before: Quantities | None = None
    """What the same session consumed before this delta: prices that round by the session bill the difference."""
    vendor_cost_usd: Decimal | None = None
    """Cost that our own instrumentation took from the vendor's reply: trusted, becomes `reported`."""
