"""What Twilio bills as a span: its own figures, and its price once it has worked that out. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from callfare import attributes as names
from callfare.calls.span import Amount, AttributeValue, CallRequest

__all__ = ["PROVIDER", "bill"]

PROVIDER: Final = "twilio"


def bill(
    operation: str,
    model: str,
    quantities: Mapping[str, Amount],
    attributes: Mapping[str, AttributeValue],
    *,
    price: Decimal | None,
    currency: str,
) -> CallRequest:
    """Return the span of a call or message; `price` is positive, None while nobody knows it."""
    money: dict[str, AttributeValue] = {}
    if price is not None:
        money = {names.VENDOR_COST: format(price, "f"), names.VENDOR_COST_CURRENCY: currency or "USD"}
    return CallRequest(
        operation=operation,
        provider=PROVIDER,
        model=model,
        source="vendor_body",
        quantities=quantities,
        attributes={**attributes, **money},
    )
