"""The legs and messages that this process knows: the workflow of each, and what was already reported of it.

A call ends long after the request that placed it, and its status comes in a request of its own: the context is
kept by call id, so that the leg's spans join the workflow of the call. Bounded: the oldest are forgotten.
"""

import threading
import time
from collections import OrderedDict
from typing import Protocol

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare.calls.span import CallRequest, open_call
from callfare.guard import quietly
from callfare.instrumentation.twilio import _running

__all__ = ["StatusUpdate", "bind", "note", "record"]

_LEGS_MAX = 10_000


class StatusUpdate(Protocol):
    """What Twilio reports of a leg or a message."""

    @property
    def call_id(self) -> str: ...
    @property
    def is_final(self) -> bool: ...
    @property
    def facts(self) -> tuple[object, ...]: ...
    @property
    def started_at_unix_ns(self) -> int | None: ...
    def request(self) -> CallRequest: ...


_lock = threading.Lock()
_contexts: OrderedDict[str, Context] = OrderedDict()
_last_seen: OrderedDict[str, tuple[object, ...]] = OrderedDict()


def bind(call_id: str) -> None:
    """Let spans of this leg or message join the workflow that is current now."""
    with _lock:
        _contexts[call_id] = context_api.get_current()
        while len(_contexts) > _LEGS_MAX:
            _contexts.popitem(last=False)


@quietly
def record(tracer: Tracer, update: StatusUpdate) -> bool:
    """Write what is known of a leg that has ended, or a message; nothing where that was already written."""
    if not update.is_final or not note(update):
        return False
    with _lock:
        context = _contexts.get(update.call_id)
    started_at = update.started_at_unix_ns
    if started_at is not None:
        started_at = min(started_at, time.time_ns())  # clocks differ
    request = update.request()
    hold = _running.settlement_of(update.call_id, request)
    open_call(tracer, request, context=context, start_time_unix_ns=started_at, hold=hold).end()
    return True


def note(update: StatusUpdate) -> bool:
    """Remember what is reported; return False if it was reported before."""
    facts = update.facts
    with _lock:
        if _last_seen.get(update.call_id) == facts:
            return False
        _last_seen[update.call_id] = facts
        while len(_last_seen) > _LEGS_MAX:
            _last_seen.popitem(last=False)
        return True
