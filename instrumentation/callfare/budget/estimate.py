"""Estimates: what a call will cost, by its request; and what it did cost, by its span.

The request states what it can: characters to speak, seconds of a file. Where that has no price by itself, or nothing
is stated, the estimate is what 19 of 20 such calls of this process have cost; before there are any, it is the cost of
an assumed usage. What has no price at all has no estimate: None, never 0.
"""

import math
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from callfare import attributes as names
from callfare.budget.prices import prices
from callfare.calls.span import CallRequest
from callfare.forking import reset_after_fork
from cost_exporter.domain.quantity import Quantities, Quantity
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.usage import UsageRecord

__all__ = ["RecentCosts", "estimate_usd", "quote_of"]

_ASSUMED: Final[Mapping[str, Mapping[str, Quantity]]] = {
    "speech_to_text": {"audio_seconds": 60},
    "phone_call": {"call_seconds": 60, "calls": 1},
    "chat": {"input_tokens": 1_000, "output_tokens": 1_000},
    "embeddings": {"input_tokens": 1_000},
    "text_to_speech": {"characters": 1_000},
}
_CHARACTERS_PER_TOKEN: Final = 4
_SPEECH_TOKENS_PER_CHARACTER: Final = 2
"""Above what is usual: 15 characters a second, at 20 tokens a second."""
_SURE: Final = frozenset({"priced", "estimated", "reported"})
_RECENT_MAX: Final = 100
_KINDS_MAX: Final = 1_000
_NINETEEN_OF_TWENTY: Final = 0.95


class RecentCosts:
    """What the last calls of each kind have cost in this process."""

    def __init__(self) -> None:
        self.reset_after_fork()
        reset_after_fork(self)

    def reset_after_fork(self) -> None:
        """The lock may be held by a thread that the child does not have."""
        self._lock = threading.RLock()  # a finaliser may add a cost while its thread does
        self._costs: dict[tuple[str, str, str], deque[Decimal]] = {}

    def add(self, usage: UsageRecord, cost_usd: Decimal) -> None:
        """Remember a cost. Models are named by the outside: past a number of kinds all are forgotten."""
        with self._lock:
            if len(self._costs) >= _KINDS_MAX and _kind(usage) not in self._costs:
                self._costs.clear()
            self._costs.setdefault(_kind(usage), deque(maxlen=_RECENT_MAX)).append(cost_usd)

    def nineteen_of_twenty_usd(self, usage: UsageRecord) -> Decimal | None:
        """The cost that 95 of 100 recent calls of this kind did not exceed, None where there are none."""
        with self._lock:
            costs = sorted(self._costs.get(_kind(usage), ()))
        return costs[math.ceil(len(costs) * _NINETEEN_OF_TWENTY) - 1] if costs else None


def quote_of(usage: UsageRecord) -> Quote:
    """What the book says that this usage costs, as the bill does."""
    return prices().price_of_call(usage)


def estimate_usd(request: CallRequest, usage: UsageRecord, recent: RecentCosts) -> Decimal | None:
    """What the call will probably cost, None where nobody can say. `usage` is that of the request alone."""
    quote = quote_of(usage)
    if quote.status in _SURE:
        return quote.amount_usd
    known_usd = quote.amount_usd
    usual_usd = recent.nineteen_of_twenty_usd(usage)
    if usual_usd is None:
        usual_usd = quote_of(replace(usage, quantities=_assumed(request, usage))).amount_usd
    return usual_usd if known_usd is None or usual_usd is None else max(known_usd, usual_usd)


def _assumed(request: CallRequest, usage: UsageRecord) -> Quantities:
    """What the request states, with what it does not."""
    stated, operation = usage.quantities, usage.operation
    assumed: dict[str, Quantity] = {**_ASSUMED.get(operation, {"requests": 1}), **stated}
    if operation == "text_to_speech":
        characters = int(assumed["characters"])
        assumed.setdefault("input_tokens", -(-characters // _CHARACTERS_PER_TOKEN))
        assumed.setdefault("output_tokens", characters * _SPEECH_TOKENS_PER_CHARACTER)
    characters = request.quantities.get(names.REQUEST_CHARACTERS) or request.attributes.get(names.REQUEST_CHARACTERS)
    if isinstance(characters, int) and "input_tokens" not in stated and "input_tokens" in assumed:
        assumed["input_tokens"] = -(-characters // _CHARACTERS_PER_TOKEN)
    return assumed


def _kind(usage: UsageRecord) -> tuple[str, str, str]:
    return usage.provider, usage.request_model, usage.operation
