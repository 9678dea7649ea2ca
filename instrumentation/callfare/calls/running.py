"""Budgets of calls that go on: what is reserved for the time until the next report, and settled by each report.

A connection is asked for as it opens, by what it uses until its first report; a hard budget refuses it there. While it
is open it is never cut: what does not fit any more is reported, and `on_exceeded` may hang up.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from opentelemetry import context as context_api
from opentelemetry.context import Context

from callfare import attributes as names
from callfare import environment
from callfare.calls.admission import Hold, Offer, admit, gate_in, with_offer
from callfare.calls.span import Amount, AttributeValue, CallRequest
from callfare.guard import note_internal_error

__all__ = ["PartOfHold", "ahead_of", "first_part", "follow", "interval_seconds", "opening"]

_INTERVAL_SECONDS: Final = 60


def interval_seconds() -> float:
    """For how long is reserved at a time; of calls that report at their end alone, a minute."""
    return environment.report_seconds() or _INTERVAL_SECONDS


def ahead_of(request: CallRequest, seconds: float) -> dict[str, Amount]:
    """What the call of this request uses in some seconds."""
    used: dict[str, Amount] = {request.meter: seconds}
    if request.channels > 1:
        used[names.AUDIO_CHANNELS] = request.channels
    return used


def first_part(request: CallRequest) -> CallRequest:
    """The request as budgets are asked for it: with what a call that stays open uses until its first report."""
    if not request.meter:
        return request
    attributes = dict(request.attributes)
    if request.operation != "phone_call":
        attributes[names.REQUEST_STREAM] = True
    return replace(request, quantities=ahead_of(request, interval_seconds()), attributes=attributes)


@contextmanager
def opening(request: CallRequest | None) -> Generator[None]:
    """Reserve for a connection while it opens: the session that listens to it takes the money over.

    Raises `BudgetExceeded` where a hard budget refuses it. What nobody takes, because the connection failed or is not
    metered by time, is given back.
    """
    context = context_api.get_current()
    if request is None or not request.meter or gate_in(context) is None:
        yield
        return
    offer = Offer(admit(first_part(request), context))
    token = context_api.attach(with_offer(offer, context))
    try:
        yield
    finally:
        context_api.detach(token)
        hold, offer.hold = offer.hold, None  # a copy of this context must not offer it again
        if hold is not None:
            hold.release()


def follow(request: CallRequest, context: Context) -> Hold | None:
    """Reserve for a call that is under way already; None where no budget applies. Refuses nothing."""
    gate = gate_in(context)
    if gate is None:
        return None
    try:
        return gate.follow(first_part(request), context)
    except Exception as error:  # noqa: BLE001 - the call goes on
        note_internal_error("reserving for an open call", error)
        return None


class PartOfHold:
    """What one span of a call that goes on settles, with everything that the span says."""

    __slots__ = ("_hold", "_request", "_settle")

    def __init__(
        self, hold: Hold, request: CallRequest, settle: Callable[[Mapping[str, AttributeValue]], None]
    ) -> None:
        """`settle` is a method of the hold; `request` that of the span."""
        self._hold = hold
        self._request = request
        self._settle = settle

    @property
    def reservation_id(self) -> str:
        """As of the hold."""
        return self._hold.reservation_id

    def settle(self, stated: Mapping[str, AttributeValue]) -> None:
        """Settle this part."""
        request = self._request
        model: dict[str, AttributeValue] = {names.REQUEST_MODEL: request.model} if request.model else {}
        self._settle({**request.attributes, **model, **stated})

    def release(self) -> None:
        """As of the hold."""
        self._hold.release()

    def extend(self, ahead: Mapping[str, Amount], ended: Mapping[str, AttributeValue] | None = None) -> None:
        """As of the hold."""
        self._hold.extend(ahead, ended)

    def restate(self, stated: Mapping[str, AttributeValue]) -> None:
        """As of the hold."""
        self._hold.restate(stated)

    def raise_to(self, quantities: Mapping[str, Amount]) -> None:
        """As of the hold."""
        self._hold.raise_to(quantities)
