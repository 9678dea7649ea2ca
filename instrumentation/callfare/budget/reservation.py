"""`money.reserve(...)`: a reservation that the application makes itself, for a call that no instrumentor sees."""

from decimal import Decimal
from types import TracebackType
from typing import Self

from opentelemetry import context as context_api

from callfare import attributes as names
from callfare.account import account_of
from callfare.budget.gate import with_limits
from callfare.budget.ledger import Claim, ledger
from callfare.budget.limits import Limits
from callfare.budget.money import Stated, amount_of
from callfare.budget.reserving import reserve
from cost_exporter.domain.money import ZERO

__all__ = ["Reservation"]


class Reservation:
    """Money reserved while the context is entered. Enter it once, with `with` or `async with`."""

    def __init__(self, limits: Limits, estimate_usd: Decimal, task: str | None) -> None:
        """Reserves nothing yet."""
        self._limits = limits
        self._task = task
        self._claim: Claim | None = None
        self.estimate_usd = estimate_usd

    def settle(self, actual_usd: Stated) -> None:
        """Say what it cost, also where that is more than was reserved. Once: a second amount is an error."""
        amount_usd = amount_of(actual_usd, "actual_usd")
        if self._claim is None:
            raise RuntimeError("settle the reservation inside its `with`, once")
        claim, self._claim = self._claim, None
        ledger().settle(claim, amount_usd)

    def __enter__(self) -> Self:
        if self._claim is not None:
            raise RuntimeError("the reservation is entered already: make one for each call")
        context = context_api.get_current()
        task = self._task if self._task is not None else account_of(context).get(names.TASK, "")
        self._claim = reserve(with_limits(context, self._limits), self.estimate_usd, task=task, context=context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        claim, self._claim = self._claim, None
        if claim is not None:
            ledger().settle(claim, ZERO if error is not None else self.estimate_usd)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
