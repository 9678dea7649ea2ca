"""Text on a speech socket: the budgets are asked before a piece goes out, for the utterance that it belongs to.

The first piece reserves; each later one raises what is reserved to all that the utterance has by then. A piece that is
refused stays here, and what was sent before it is spoken and billed.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from opentelemetry.context import Context

from callfare import attributes as names
from callfare.calls.admission import Hold, admit
from callfare.calls.span import CallRequest, CallSpan

__all__ = ["AskedText"]


class AskedText:
    """What was reserved for utterances whose first piece has not gone out yet, by what the vendor calls them."""

    def __init__(self) -> None:
        self._holds: dict[str, Hold] = {}

    def ask(
        self, utterance: str, call: CallSpan | None, request: CallRequest, characters: int, context: Context
    ) -> Callable[[], None]:
        """Return what reserves for this many characters more."""
        return partial(self._reserve, utterance, call, request, characters, context)

    def _reserve(
        self, utterance: str, call: CallSpan | None, request: CallRequest, characters: int, context: Context
    ) -> None:
        quantities = {names.INPUT_CHARACTERS: characters}
        known = self._holds.get(utterance)
        if call is not None:
            call.raise_hold(names.INPUT_CHARACTERS, characters)
        elif known is not None:  # the piece that reserved it never went out
            known.raise_to(quantities)
        elif (hold := admit(replace(request, quantities=quantities), context)) is not None:
            self._holds[utterance] = hold

    def take(self, utterance: str) -> Hold | None:
        """Return what was reserved for an utterance that begins: its call settles it."""
        return self._holds.pop(utterance, None)

    def give_back(self) -> None:
        """The connection is over: release what no call took."""
        for utterance in list(self._holds):
            hold = self.take(utterance)
            if hold is not None:
                hold.release()
