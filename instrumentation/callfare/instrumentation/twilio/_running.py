"""What budgets hold for telephone calls that go on: a minute more with every report, settled when the leg has ended.

Twilio reports a leg at its end, and its price minutes later: both settle the same money. A leg whose end this process
never learns of keeps what is held for it.
"""

import threading
from collections import OrderedDict
from typing import Final

from opentelemetry import context as context_api

from callfare import attributes as names
from callfare.calls.admission import Hold
from callfare.calls.running import PartOfHold, follow, interval_seconds
from callfare.calls.session import reporter
from callfare.calls.span import Amount, CallRequest
from callfare.guard import quietly
from callfare.instrumentation.twilio import _usage

__all__ = ["begin", "follow_inbound", "settlement_of"]

_RUNNING_MAX: Final = 10_000
_CALL_SECONDS_MAX: Final = 4 * 60 * 60
"""Twilio hangs up after four hours, unless it is asked for less."""
_lock = threading.Lock()
_running: "OrderedDict[str, _RunningLeg]" = OrderedDict()


class _RunningLeg:
    """One leg, from the moment it is placed until nothing more becomes known of it."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.has_ended = False
        self._clock = reporter().clock
        self._began_at_seconds = self._clock.monotonic_seconds()
        reporter().watch(self)

    @quietly
    def report(self) -> None:
        """Hold what the call has cost by now, and will have until the next report."""
        elapsed_seconds = self._clock.monotonic_seconds() - self._began_at_seconds
        if self.has_ended or elapsed_seconds >= _CALL_SECONDS_MAX:
            reporter().forget(self)
            return
        ahead: dict[str, Amount] = {names.CALL_DURATION_SECONDS: round(elapsed_seconds + interval_seconds(), 3)}
        self.hold.extend(ahead)

    def lost(self) -> None:
        """The call goes on without this process: what is held for it stays held."""

    def forget(self) -> None:
        """In a forked child: the call is the parent's."""
        self.has_ended = True
        self.hold.release()

    def end(self) -> None:
        """No more is needed."""
        self.has_ended = True
        reporter().forget(self)


def begin(call_id: str, hold: Hold | None) -> None:
    """A call goes on, and the budgets hold this for it, unless they do already."""
    if hold is None:
        return
    with _lock:
        is_new = call_id not in _running
        if is_new:
            _running[call_id] = _RunningLeg(hold)
        while len(_running) > _RUNNING_MAX:
            _running.popitem(last=False)
    if not is_new:
        hold.release()


def follow_inbound(call_id: str) -> None:
    """A call came in, which no budget can refuse any more: hold for it while it goes on."""
    if call_id.startswith("CA") and call_id not in _running:  # an SM is a message
        begin(call_id, follow(_usage.request_of_inbound(), context_api.get_current()))


def settlement_of(call_id: str, request: CallRequest) -> Hold | None:
    """What the span of this leg's end, or of its price, settles: each replaces what was known before."""
    leg = _running.get(call_id)
    if leg is None:
        return None
    leg.end()
    return PartOfHold(leg.hold, request, leg.hold.restate)
