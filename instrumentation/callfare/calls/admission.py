"""Whether a paid call may go out: what a budget does for the calls made inside it.

In: the request of a call, and the context it is made in. Out: a hold on the budget's money, which the call settles
exactly once, as its span ends. Where no budget applies this costs one look-up in the context.
`callfare.budget` implements both protocols; nothing here knows of money.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry import context as context_api
from opentelemetry.context import Context

if TYPE_CHECKING:
    from callfare.calls.span import Amount, AttributeValue, CallRequest

__all__ = [
    "Gate",
    "Hold",
    "Offer",
    "admit",
    "gate_in",
    "set_gate_of_process",
    "take_offered",
    "with_gate",
    "with_offer",
]

_GATE: Final = context_api.create_key("callfare-budget")
_OFFER: Final = context_api.create_key("callfare-budget-offer")


class Hold(Protocol):
    """Money that is reserved for one call."""

    @property
    def reservation_id(self) -> str:
        """What the span has to carry, so that the service knows which money it claims; "" for nothing.

        A call that goes on may get other money: from its settlement on this is what that was counted in.
        """
        ...

    def settle(self, stated: "Mapping[str, AttributeValue]") -> None:
        """Replace the estimate by the cost of what the finished span says. Raises nothing, and never waits."""
        ...

    def release(self) -> None:
        """Give the money back: no span will say what the call used. Raises nothing, and never waits."""
        ...

    def extend(self, ahead: "Mapping[str, Amount]", ended: "Mapping[str, AttributeValue] | None" = None) -> None:
        """Reserve for what a call that goes on will use next. Raises nothing: what does not fit is reported.

        `ended` is what a finished span says of the part before, whose cost replaces what was held for it.
        """
        ...

    def restate(self, stated: "Mapping[str, AttributeValue]") -> None:
        """Settle a call of which more may become known later: each statement replaces the one before."""
        ...

    def raise_to(self, quantities: "Mapping[str, Amount]") -> None:
        """Reserve for a request that has grown to this. Raises `BudgetExceeded`, and then holds what it held."""
        ...


class Gate(Protocol):
    """The budgets that apply in a context."""

    def admit(self, request: "CallRequest", context: Context) -> Hold:
        """Reserve an estimate. Raises `BudgetExceeded` where a hard budget refuses the call, and nothing else."""
        ...

    def has_price(self, request: "CallRequest", context: Context) -> bool:
        """Whether anybody can say what such a call will cost. Raises nothing."""
        ...

    def follow(self, request: "CallRequest", context: Context) -> Hold:
        """Reserve an estimate and refuse nothing: the call is under way already, and goes on."""
        ...

    def count(self, request: "CallRequest", context: Context) -> Hold:
        """Reserve nothing and refuse nothing: the call is under way already, and is counted when it ends."""
        ...


def with_gate(gate: Gate, context: Context) -> Context:
    """A context in which this gate decides."""
    return context_api.set_value(_GATE, gate, context)


def gate_in(context: Context) -> Gate | None:
    """The gate of a context, else that of the process; None where no budget applies."""
    gate: Gate | None = context.get(_GATE)  # type: ignore[assignment]  # only `with_gate` writes this key
    return _gate_of_process if gate is None else gate


_gate_of_process: Gate | None = None


def set_gate_of_process(gate: Gate | None) -> None:
    """Let this gate decide wherever a context has none."""
    global _gate_of_process  # noqa: PLW0603 - one a process
    _gate_of_process = gate


class Offer:
    """What was reserved for a connection that is about to open, until a listener takes it.

    One that nobody refers to any more gives its money back.
    """

    __slots__ = ("__weakref__", "_hold")

    def __init__(self, hold: Hold | None) -> None:
        self._hold = hold

    def take(self) -> Hold | None:
        """Return the hold, which its taker settles; None where it is taken."""
        hold, self._hold = self._hold, None
        return hold

    def give_back(self) -> None:
        """Release what nobody took."""
        hold = self.take()
        if hold is not None:
            hold.release()

    __del__ = give_back


def with_offer(offer: Offer, context: Context) -> Context:
    """A context for opening a connection, and what listens to it."""
    return context_api.set_value(_OFFER, offer, context)


def take_offered(context: Context) -> Hold | None:
    """What was reserved for the connection that opens in this context. Its taker settles it; None where it is taken."""
    offer = context.get(_OFFER)
    return offer.take() if isinstance(offer, Offer) else None


def admit(request: "CallRequest", context: Context) -> Hold | None:
    """Ask the budgets of the context before a call goes out; None where there are none. Raises `BudgetExceeded`.

    What is on offer in the context was reserved by a framework for this very call, and is given back first: held twice,
    it would be refused at half of the limit.
    """
    gate = gate_in(context)
    if gate is None:
        return None
    offer = context.get(_OFFER)
    if isinstance(offer, Offer):
        offer.give_back()
    return gate.admit(request, context)
