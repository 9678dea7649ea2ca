"""Realtime models: the answers that LiveKit's own spans leave out, each as a span of ours.

LiveKit writes the tokens of an answer on the span of the turn that speaks it. An answer that is not spoken (the agent
is draining, or was interrupted first) and one of a session without an agent only have the metrics event, and the
vendor bills them all the same. Token counts are totals, and the details parts of them.
"""

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.span import Amount, CallRequest, open_call
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly

__all__ = ["is_realtime", "record", "record_usage"]

_REMEMBERED_MAX = 256
_recorded: deque[object] = deque(maxlen=_REMEMBERED_MAX)
"""Metrics that LiveKit has put on a span, or that we have; by identity."""


def is_realtime(event: object) -> bool:
    """Whether an event reports the usage of an answer of a realtime model."""
    return getattr(event, "type", "") == "realtime_model_metrics"


def record(_tracer: Tracer) -> Wrapper:
    """Wrapper of `record_realtime_metrics(span, metrics)`, by which LiveKit writes usage on its own span."""

    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _recorded.append(args[1] if len(args) > 1 else kwargs.get("ev"))
        return wrapped(*args, **kwargs)

    return wrapper


@quietly
def record_usage(tracer: Tracer, metrics: Any, provider_of: Callable[[str], str]) -> None:
    """Record the usage of an event that all listeners have received, unless a span has it already."""
    if any(known is metrics for known in _recorded):
        return
    _recorded.append(metrics)
    quantities = {name: amount for name, amount in _quantities(metrics).items() if amount}
    if not quantities:
        return  # it says only how long the connection took
    quantities.setdefault(names.OUTPUT_TOKENS, 0)
    metadata = metrics.metadata
    request = CallRequest(
        operation="chat",
        provider=provider_of(str(getattr(metadata, "model_provider", "") or "").lower()),
        model=str(getattr(metadata, "model_name", "") or ""),
        quantities=quantities,
        source="vendor_body",
        attributes={names.RESPONSE_ID: metrics.request_id, names.REQUEST_STREAM: True},
    )
    call = open_call(tracer, request)
    if metrics.cancelled:
        call.interrupt()
    else:
        call.end()


def _quantities(metrics: Any) -> dict[str, Amount]:
    input_tokens, output_tokens = metrics.input_token_details, metrics.output_token_details
    cached = input_tokens.cached_tokens_details
    return {
        names.INPUT_TOKENS: metrics.input_tokens,
        names.OUTPUT_TOKENS: metrics.output_tokens,
        names.CACHE_READ_TOKENS: input_tokens.cached_tokens,
        names.INPUT_AUDIO_TOKENS: input_tokens.audio_tokens,
        names.INPUT_IMAGE_TOKENS: input_tokens.image_tokens,
        names.CACHE_AUDIO_READ_TOKENS: cached.audio_tokens if cached is not None else 0,
        names.OUTPUT_AUDIO_TOKENS: output_tokens.audio_tokens,
        names.SESSION_SECONDS: Decimal(str(metrics.session_duration)),
    }
