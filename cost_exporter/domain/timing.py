"""How long a caller waited, and how a conversation went, as one span reports it.

Nothing of it decides what a call costs: it is kept beside the records, and shown with the workflow.
"""

from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Timing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What one span says of time and turns; None is unknown."""

    trace_id: bytes
    span_id: bytes
    started_at_unix_ns: int
    tenant: str = ""
    """As the span or its resource states it; "" where neither does."""
    service_name: str = ""
    provider: str = ""
    model: str = ""
    operation: str = ""
    """Empty on a span that is no provider call."""
    time_to_first_token_seconds: Decimal | None = None
    """From the request to a language model to the first piece of its answer."""
    time_to_first_audio_seconds: Decimal | None = None
    """From the request to a speaker to the first piece of sound."""
    turn_count: int | None = None
    interruption_count: int | None = None
    dead_air_seconds: Decimal | None = None
    """How long nobody spoke between the first and the last word."""
