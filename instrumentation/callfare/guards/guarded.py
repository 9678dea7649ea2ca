"""A call of a model's SDK under a budget: reserved before it is sent, settled exactly once.

The guards make no span. What a call used is read from its answer; the bill is read from whichever span there is. Where
the answer states nothing, because a stream was left or nobody asked for its usage, the call is settled by what was sent
and what came back, in characters. A refusal by the vendor gives the money back.
"""

import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from opentelemetry import context as context_api
from opentelemetry.context import Context

from callfare import attributes as names
from callfare.calls.admission import Hold, gate_in
from callfare.calls.claims import claim_by_span
from callfare.calls.failure import is_refusal
from callfare.calls.span import AttributeValue, CallRequest, seen_of
from callfare.calls.wrapping import MakeWrapper, ReadRequest, sending, sending_async
from callfare.guard import note_internal_error
from callfare.guards.request_size import tokens_of_characters

__all__ = ["GuardedCall", "ReadAnswer", "guard", "guard_async"]

ReadAnswer = Callable[["GuardedCall", Any], Any]
"""Reads the usage of an answer. Returning something other than None hands that to the application instead, a watched
stream, and leaves finishing the call to it."""

_INSIDE: Final = context_api.create_key("callfare-guarded")
"""The id of what the guarded call around this one has reserved, "" where that has none."""


class GuardedCall:
    """A call under way, and what is known of its usage so far. Every method is quiet, and only the first end counts."""

    __slots__ = (
        "__weakref__", "_finalise", "_hold", "_request", "_stated", "has_output", "is_sent", "received_characters",
    )  # fmt: skip

    def __init__(self, hold: Hold, request: CallRequest) -> None:
        self._hold = hold
        self._request = request
        self._stated: dict[str, AttributeValue] = {}
        self.has_output = False
        """Set at the first piece of the answer: from here on a failure is billed."""
        self.is_sent = True
        """False while a generator that sends the request has not been started."""
        self.received_characters = 0
        """Length of the text that came back, for a stream that states no usage."""
        # A call that nobody finishes, nor can any more, was sent all the same.
        self._finalise = weakref.finalize(self, hold.settle, _as_sent(request, 0))
        self._finalise.atexit = False

    @property
    def is_finished(self) -> bool:
        """Whether the call has ended."""
        return not self._finalise.alive

    def context(self) -> Context:
        """The context for the time in which the request is being sent: guards below leave it alone."""
        return context_api.set_value(_INSIDE, self._hold.reservation_id)

    def state(self, usage: Mapping[str, AttributeValue]) -> None:
        """Take what the vendor states; later statements replace earlier ones."""
        self._stated.update(usage)

    def end(self) -> None:
        """Finish: the answer is complete."""
        self._settle(is_complete=True)

    def interrupt(self) -> None:
        """Finish: the application stopped listening. The vendor bills what it did until then."""
        self._settle(is_complete=False)

    def fail(self, error: BaseException) -> None:
        """Finish: the vendor or the network failed. Before any output, a refusal costs nothing."""
        if not self.has_output and is_refusal(error):
            if self._finalise.detach() is not None:
                self._hold.release()
        else:
            self._settle(is_complete=False)

    def keep(self) -> None:
        """Finish at an unknown cost: the estimate stays reserved."""
        if self._finalise.detach() is not None:
            self._hold.settle({})

    def _settle(self, *, is_complete: bool) -> None:
        if self._finalise.detach() is None:
            return
        if not self.is_sent:
            self._hold.release()
        else:
            sent = _as_sent(self._request, self.received_characters)
            is_stated = is_complete and self._stated.keys() >= sent.keys() - {names.USAGE_SOURCE}
            self._hold.settle(self._stated if is_stated else _at_least(sent, self._stated))


def _as_sent(request: CallRequest, received_characters: int) -> dict[str, AttributeValue]:
    """The usage of a call by the lengths of what was sent and received."""
    sent: dict[str, AttributeValue] = {
        names.INPUT_TOKENS: int(request.quantities.get(names.INPUT_TOKENS, 0)),
        names.USAGE_SOURCE: "estimated",
    }
    if request.operation != "embeddings":
        sent[names.OUTPUT_TOKENS] = tokens_of_characters(received_characters)
    return sent


def _at_least(sent: dict[str, AttributeValue], stated: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """What was stated, and of the output no less than what came back: a stream states its output at its end."""
    found = {**sent, **stated}
    outputs = [each.get(names.OUTPUT_TOKENS) for each in (sent, stated)]
    known = [output for output in outputs if isinstance(output, int)]
    if known:
        found[names.OUTPUT_TOKENS] = max(known)
    return found


def guard(read: ReadRequest, read_answer: ReadAnswer) -> MakeWrapper:
    """Return a wrapper for a method that returns an answer, or a stream that `read_answer` watches."""
    return lambda _: sending(partial(_admitted, read), read_answer)


def guard_async(read: ReadRequest, read_answer: ReadAnswer) -> MakeWrapper:
    """Return the same for a coroutine function."""
    return lambda _: sending_async(partial(_admitted, read), read_answer)


def _admitted(read: ReadRequest, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> GuardedCall | None:
    """Reserve for the call; None where no budget applies to it. Raises `BudgetExceeded` where one refuses it."""
    context = context_api.get_current()
    gate = gate_in(context)
    if gate is None or seen_of(context) is not None:  # a framework's span counts the call when it ends
        return None
    around_id = context_api.get_value(_INSIDE, context)
    if isinstance(around_id, str):  # reserved by a library that calls this SDK, whose span may be the only one
        claim_by_span(around_id, context)
        return None
    try:
        request = read(instance, args, kwargs)
    except Exception as error:  # noqa: BLE001 - the call goes out unguarded
        note_internal_error("reading a request", error)
        return None
    if request is None:
        return None
    hold = gate.admit(request, context)
    claim_by_span(hold.reservation_id, context)
    return GuardedCall(hold, request)
