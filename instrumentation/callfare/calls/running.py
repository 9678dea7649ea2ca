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

__all__ = [
    "PartOfHold",
    "ahead_of",
    "first_part",
    "follow",
    "interval_seconds",
    "offer_by_framework",
    "offer_of",
    "offered",
    "opening",
]

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
    if request is None or not request.meter:
        yield
        return
    with offered(offer_of(first_part(request), context_api.get_current())):
        yield


def offer_of(request: CallRequest, context: Context) -> Offer | None:
    """Reserve for a connection whose session begins later, perhaps elsewhere; None where no budget applies.

    Raises `BudgetExceeded` where a hard budget refuses it.
    """
    return None if gate_in(context) is None else Offer(admit(request, context))


def offer_by_framework(request: CallRequest, context: Context) -> Offer | None:
    """Reserve for what a framework connects to; None where no budget applies, or nobody knows a price.

    A framework's recogniser may well run on the application's own machine, and a hard budget would refuse that.
    Raises `BudgetExceeded` where a hard budget refuses it.
    """
    gate = gate_in(context)
    return Offer(admit(request, context)) if gate is not None and gate.has_price(request, context) else None


@contextmanager
def offered(offer: Offer | None) -> Generator[None]:
    """Offer what was reserved to whatever listens, or asks for the same call, in here. What nobody takes goes back."""
    if offer is None:
        yield
        return
    token = context_api.attach(with_offer(offer, context_api.get_current()))
    try:
        yield
    finally:
        context_api.detach(token)
        offer.give_back()


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
