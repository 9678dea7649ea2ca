"""Which legs this process knows: whose workflow each belongs to, and what was already said of it.

A call ends long after the request that placed it, and its status comes in a request of its own: the context is
kept by call id, so that the leg's spans join the workflow of the call. Bounded: the oldest are forgotten.
"""

import threading
import time
from collections import OrderedDict

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare.guard import quietly
from callfare.instrumentation.twilio._usage import Leg, request_of
from callfare.span import open_call

__all__ = ["bind", "record"]

_LEGS_MAX = 10_000
_lock = threading.Lock()
_contexts: OrderedDict[str, Context] = OrderedDict()
_said: OrderedDict[str, tuple[object, ...]] = OrderedDict()


def bind(call_id: str) -> None:
    """Let spans of this leg join the workflow that is current now."""
    with _lock:
        _contexts[call_id] = context_api.get_current()
        while len(_contexts) > _LEGS_MAX:
            _contexts.popitem(last=False)


@quietly
def record(tracer: Tracer, leg: Leg) -> bool:
    """Write what is known of a leg that has ended; nothing where that was already written."""
    if not leg.has_ended or not _is_news(leg):
        return False
    with _lock:
        context = _contexts.get(leg.call_id)
    started_at = leg.started_at_unix_ns
    if started_at is not None:
        started_at = min(started_at, time.time_ns())  # clocks differ
    open_call(tracer, request_of(leg), context=context, start_time_unix_ns=started_at).end()
    return True


def _is_news(leg: Leg) -> bool:
    facts = (leg.status, leg.seconds, leg.price)
    with _lock:
        if _said.get(leg.call_id) == facts:
            return False
        _said[leg.call_id] = facts
        while len(_said) > _LEGS_MAX:
            _said.popitem(last=False)
        return True
