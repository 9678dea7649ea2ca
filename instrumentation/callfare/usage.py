"""`record_usage(...)`: a paid operation that no instrumentor knows, as a span of its own.

    record_usage("retrieval", "pinecone", "serverless", read_units=6)
    record_usage("hosting", "runpod", "a100", session_seconds=61.5)
    record_usage("tool", "serpapi", "search", requests=1, vendor_cost_usd="0.0125")

Quantities are the canonical names of the contract. Each becomes the attribute of that meaning; one without an
attribute of its own goes on the span as `callfare.usage.<name>`, and if it is the only one also as the vendor's meter.
Totals are inclusive: `input_tokens` counts the cached ones too.

The rule that must never break: what is left of a record after a mistake never looks like all of it. A misspelt
quantity, or an impossible amount, is named in the log, and the record goes without any quantity: it reads
`no_usage`, and counts as unpriced.
"""

import logging
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Final

from opentelemetry import trace

from callfare import attributes as names
from callfare import environment
from callfare.calls.span import Amount, AttributeValue, CallRequest, open_call
from callfare.guard import quietly

__all__ = ["ATTRIBUTE_BY_QUANTITY", "record_usage"]

_log = logging.getLogger("callfare")
Stated = Decimal | float | str | None

ATTRIBUTE_BY_QUANTITY: Final = {
    "input_tokens": names.INPUT_TOKENS,
    "output_tokens": names.OUTPUT_TOKENS,
    "cache_read_tokens": names.CACHE_READ_TOKENS,
    "cache_write_tokens": names.CACHE_WRITE_TOKENS,
    "input_audio_tokens": names.INPUT_AUDIO_TOKENS,
    "cache_audio_read_tokens": names.CACHE_AUDIO_READ_TOKENS,
    "output_audio_tokens": names.OUTPUT_AUDIO_TOKENS,
    "input_image_tokens": names.INPUT_IMAGE_TOKENS,
    "output_image_tokens": names.OUTPUT_IMAGE_TOKENS,
    "reasoning_tokens": names.REASONING_TOKENS,
    "characters": names.INPUT_CHARACTERS,
    "audio_seconds": names.AUDIO_INPUT_SECONDS,
    "output_audio_seconds": names.AUDIO_OUTPUT_SECONDS,
    "session_seconds": names.SESSION_SECONDS,
    "call_seconds": names.CALL_DURATION_SECONDS,
    "channels": names.AUDIO_CHANNELS,
}
_METERS: Final = frozenset(
    {
        "credits", "read_units", "write_units", "rerank_units", "messages", "requests", "web_searches", "images",
        "pages", "vectors", "video_seconds", "citation_tokens",
    }
)  # fmt: skip
"""Quantities that vendors meter and that have no attribute of their own."""
_QUANTITIES: Final = (
    frozenset(ATTRIBUTE_BY_QUANTITY)
    | _METERS
    | {
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "cache_image_read_tokens",
        "input_video_tokens",
        "calls",
        "paid_extras",
        "charge_usd",
        "charges",
    }
)
_MEASURED: Final = frozenset(
    {
        "audio_seconds", "output_audio_seconds", "session_seconds", "call_seconds", "credits", "pages",
        "read_units", "write_units", "rerank_units", "video_seconds", "charge_usd",
    }
)  # fmt: skip
"""Quantities of which there may be a fraction; the others are counted."""
_AMOUNT_MAX: Final = 10**12
"""The service calls a count above this absurd; a greater integer than OTLP's would even be lost on the way."""
_WARNINGS_MAX: Final = 100
_NAME_LENGTH_MAX: Final = 40
_warned: set[str] = set()


@quietly
def record_usage(
    operation: str, provider: str, model: str = "", *, vendor_cost_usd: Stated = None, **quantities: Stated
) -> None:
    """Record what an operation used, now, with the attribution of the current context. None leaves a quantity out.

    `vendor_cost_usd` is the cost that the vendor reported: the record then has status `reported` and this cost.
    """
    if environment.is_disabled():
        return
    amounts, attributes = _amounts(quantities), _vendor_cost(vendor_cost_usd)
    metered = [quantity for quantity in amounts if quantity in _METERS]
    stated: dict[str, Amount] = {_attribute(quantity): amount for quantity, amount in amounts.items()}
    if len(metered) == 1:
        stated[names.BILLED_QUANTITY] = amounts[metered[0]]
        attributes[names.BILLED_UNIT] = metered[0]
    request = CallRequest(
        operation=operation, provider=provider, model=model, quantities=stated, source="client", attributes=attributes
    )
    open_call(trace.get_tracer("callfare.usage"), request).end()


def _attribute(quantity: str) -> str:
    return ATTRIBUTE_BY_QUANTITY.get(quantity) or names.USAGE_PREFIX + quantity


def _amounts(quantities: Mapping[str, Stated]) -> dict[str, Decimal]:
    """Return the stated quantities, exactly; none at all if one of them is invalid."""
    amounts: dict[str, Decimal] = {}
    mistakes: list[str] = []
    for quantity, stated in quantities.items():
        if stated is None:
            continue
        amount = _amount(stated)
        if quantity not in _QUANTITIES:
            mistakes.append(_unknown(quantity))
        elif amount is None:
            mistakes.append(f"{quantity} is not a number from 0 to {_AMOUNT_MAX:,}")
        elif quantity not in _MEASURED and amount != amount.to_integral_value():
            mistakes.append(f"{quantity} is counted, and was a fraction")
        else:
            amounts[quantity] = amount
    for mistake in mistakes:
        _warn(f"{mistake}; the record goes without quantities, as no_usage")
    return {} if mistakes else amounts


def _amount(stated: Decimal | float | str) -> Decimal | None:
    """A number as it was stated, strings exactly; None for what is no amount."""
    if isinstance(stated, bool):
        return None
    try:
        amount = Decimal(str(stated))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount <= _AMOUNT_MAX else None


def _unknown(quantity: str) -> str:
    """Names come from code, as a rule; what is none is not repeated, as it may be anything."""
    if not quantity.isidentifier() or len(quantity) > _NAME_LENGTH_MAX:
        return "a quantity has a name that is none"
    close = get_close_matches(quantity, sorted(_QUANTITIES), n=1)
    hint = f", did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(_QUANTITIES))}"
    return f"{quantity} is no quantity{hint}"


def _vendor_cost(stated: Stated) -> dict[str, AttributeValue]:
    if stated is None:
        return {}
    amount = _amount(stated)
    if amount is None:
        _warn(f"vendor_cost_usd is not a number from 0 to {_AMOUNT_MAX:,}; the record goes without it")
        return {}
    return {names.VENDOR_COST: format(amount, "f"), names.VENDOR_COST_CURRENCY: "USD"}


def _warn(mistake: str) -> None:
    """Once each: a mistake in a loop is still one. No amount is named, as it may be anything."""
    if mistake not in _warned and len(_warned) < _WARNINGS_MAX:
        _warned.add(mistake)
        _log.warning("record_usage: %s", mistake)
