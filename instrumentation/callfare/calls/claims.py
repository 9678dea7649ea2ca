"""Put the id of a reservation onto the span that another instrumentation makes of the same call.

The money that a call reserved is held until a span with its id is stored. Of a model call the span is not ours. Most
instrumentations have it current while the SDK sends the request: it is marked then. Some make it when the answer is
there, and set its start back to before the request (Traceloop's of OpenAI's responses): such a span claims the
reservation as it starts, and no later call's span can, because that begins after the request.
"""

import time
from contextvars import ContextVar
from typing import Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span

from callfare import attributes as names
from callfare.account import plain

__all__ = ["claim_by_span", "reservation_awaiting"]

_MODEL_KEYS: Final = frozenset({"gen_ai.request.model", "llm.request.model", "llm.model_name", "gen_ai.operation.name"})
"""One of these is on the span of a model call when its request goes out."""


class _Awaiting(NamedTuple):
    reservation_id: str
    sent_at_unix_ns: int


_awaiting: ContextVar[_Awaiting | None] = ContextVar("callfare-reservation-awaiting", default=None)


def claim_by_span(reservation_id: str, context: Context) -> None:
    """Mark the span of the call that is about to be sent in this context, or let one that is made later claim it."""
    _awaiting.set(None)
    if not reservation_id:
        return
    span = trace.get_current_span(context)
    if isinstance(span, Span) and span.is_recording() and not _MODEL_KEYS.isdisjoint(plain(span.attributes)):
        span.set_attribute(names.BUDGET_RESERVATION_ID, reservation_id)
    else:
        _awaiting.set(_Awaiting(reservation_id, time.time_ns()))


def reservation_awaiting(span: Span) -> str:
    """Return the reservation that a span which starts now claims because it began before the request; "" for none."""
    awaiting = _awaiting.get()
    if awaiting is None or span.start_time is None or span.start_time > awaiting.sent_at_unix_ns:
        return ""
    _awaiting.set(None)
    return awaiting.reservation_id
