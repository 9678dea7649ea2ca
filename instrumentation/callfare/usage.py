"""`record_usage(...)`: a paid operation that no instrumentor knows, as a span of its own.

    record_usage("retrieval", "pinecone", "serverless", read_units=6)
    record_usage("hosting", "runpod", "a100", session_seconds=61.5)

Quantities are the canonical names of the contract. Each becomes the attribute of that meaning; one without an
attribute of its own goes on the span as `callfare.usage.<name>`, and a single such also as the vendor's meter.
"""

from decimal import Decimal, InvalidOperation
from typing import Final

from opentelemetry import trace

from callfare import attributes as names
from callfare.guard import quietly
from callfare.span import Amount, AttributeValue, Request, open_call

__all__ = ["record_usage"]

_ATTRIBUTES: Final = {
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
    "call_seconds": names.SESSION_SECONDS,
    "channels": names.AUDIO_CHANNELS,
}


@quietly
def record_usage(operation: str, provider: str, model: str = "", /, **quantities: Decimal | float | str | None) -> None:
    """Record what an operation used, now, on the account of the current context. None leaves a quantity out."""
    known: dict[str, Amount] = {}
    others: dict[str, Amount] = {}
    for quantity, stated in quantities.items():
        amount = _amount(stated)
        if amount is not None:
            attribute = _ATTRIBUTES.get(quantity)
            target = others if attribute is None else known
            target[attribute or names.USAGE_PREFIX + quantity] = amount
    attributes: dict[str, AttributeValue] = {}
    if len(others) == 1:
        name, amount = next(iter(others.items()))
        known[names.BILLED_QUANTITY] = amount
        attributes[names.BILLED_UNIT] = name.removeprefix(names.USAGE_PREFIX)
    request = Request(
        operation=operation,
        provider=provider,
        model=model,
        quantities={**known, **others},
        source="client",
        attributes=attributes,
    )
    open_call(trace.get_tracer("callfare.usage"), request).end()


def _amount(stated: Decimal | float | str | None) -> Amount | None:
    """A number as it was stated, strings exactly; None for what is no finite, non-negative number."""
    if stated is None:
        return None
    try:
        amount = Decimal(str(stated))
    except InvalidOperation:
        raise ValueError("a quantity is not a number") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError("a quantity is negative or not finite")
    return amount
