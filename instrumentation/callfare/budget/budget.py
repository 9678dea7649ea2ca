"""`budget(...)`: what the calls inside may cost, together.

    with budget("1.50", {"analysis": "0.75"}) as money:
        ...                                  # each paid call in here, in any thread or task, is checked first
        print(money.spent_usd, money.remaining_usd)
    with budget(tier="quick"): ...           # limits by name, from the configuration file
    async with budget("0.50", hard=False, on_exceeded=print): ...
    @budget("0.20")
    async def answer(question): ...          # functions, coroutines and generators; each call has a budget of its own

Budgets nest: a call goes out only if it fits into all of them. A budget lives in its process and counts what is called
inside it; entering the same object again, also from several threads, goes on counting.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from decimal import Decimal
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from opentelemetry import context as context_api
from opentelemetry.context import Context

from callfare import attributes as names
from callfare.account import with_attribution
from callfare.budget.gate import BudgetGate, limits_in, with_limits
from callfare.budget.ledger import Balance, ledger
from callfare.budget.limits import Hard, Limits, OnExceeded
from callfare.budget.money import Stated, amount_of, amounts_of
from callfare.budget.prices import load_prices
from callfare.budget.reservation import Reservation
from callfare.budget.tiers import tier_named
from callfare.calls.admission import with_gate
from callfare.decorating import decorated
from cost_exporter.domain.money import CONTEXT

__all__ = ["Budget", "current_cost"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_HUNDRED: Final = Decimal(100)
_tokens: ContextVar[tuple[Token[Context], ...]] = ContextVar("callfare-budget-tokens", default=())
"""How to leave each budget entered in this thread or task: one object may be entered in several at once."""


class Budget:
    """See the module. Safe to use from several threads."""

    def __init__(
        self,
        total_usd: Stated | None = None,
        per_task_usd: Mapping[str, Stated] | None = None,
        *,
        tier: str | None = None,
        hard: Hard = True,
        on_exceeded: OnExceeded | None = None,
    ) -> None:
        """Amounts are Decimals, strings or ints.

        `tier` names the budget, on spans and in errors. Without `total_usd` its limits are those of the tier of this
        name in the configuration file, else of the tier `standard`; `per_task_usd` adds to them.
        """
        if hard not in (True, False, "shadow"):
            raise ValueError('hard must be True, False or "shadow"')
        per_task = amounts_of(per_task_usd, "per_task_usd")
        if total_usd is not None:
            self._total_usd = amount_of(total_usd, "total_usd")
        elif tier is not None:
            named = tier_named(tier)
            tier, per_task = named.name, {**named.per_task_usd, **per_task}
            self._total_usd = named.total_usd
        else:
            raise TypeError('total_usd must be an amount such as "1.50", where no tier is named')
        self._per_task_usd = per_task
        self._tier = tier
        self._hard: Hard = hard
        self._on_exceeded = on_exceeded
        self._limits = self._fresh_limits()
        load_prices()

    @property
    def limit_usd(self) -> Decimal:
        """What all calls together may cost."""
        return self._total_usd

    @property
    def spent_usd(self) -> Decimal:
        """What the calls that ended have cost, exactly."""
        return self._balance().spent_usd

    @property
    def reserved_usd(self) -> Decimal:
        """Estimates of the calls under way, and of those that ended at an unknown cost."""
        return self._balance().reserved_usd

    @property
    def remaining_usd(self) -> Decimal:
        """Limit less spent less reserved; below zero where calls cost more than was estimated."""
        return self._balance().remaining_usd

    @property
    def utilisation(self) -> Decimal:
        """What was spent, in percent of the limit."""
        spent_usd = self.spent_usd
        if not self.limit_usd:
            return _HUNDRED
        return CONTEXT.divide(CONTEXT.multiply(spent_usd, _HUNDRED), self.limit_usd)

    def reserve(self, estimate_usd: Stated, task: str | None = None) -> Reservation:
        """Reserve for a call that no instrumentor sees, in this budget and in all around it.

        Use it as a context manager: `BudgetExceeded` is raised on entry, an exception inside gives the money back,
        and `settle(actual_usd)` says what it cost. Without `settle` the estimate counts as spent. `task` is the
        workflow's unless it is given.
        """
        return Reservation(self._limits, amount_of(estimate_usd, "estimate_usd"), task)

    def __enter__(self) -> Self:
        token = context_api.attach(self._context(self._limits))
        _tokens.set((*_tokens.get(), token))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tokens = _tokens.get()
        if tokens:  # empty where the context was left elsewhere than it was entered
            _tokens.set(tokens[:-1])
            context_api.detach(tokens[-1])

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Use as a decorator: each call of the function gets a budget of its own."""
        return decorated(function, lambda: (self._context(self._fresh_limits()), _nothing))

    def _fresh_limits(self) -> Limits:
        return Limits(
            self._tier or "budget",
            self._total_usd,
            self._per_task_usd,
            hard=self._hard,
            on_exceeded=self._on_exceeded,
        )

    def _context(self, limits: Limits) -> Context:
        """The context in which these limits apply beside those that do already."""
        context = context_api.get_current()
        if self._tier:
            context = with_attribution({names.TIER: self._tier}, context)
        return with_gate(BudgetGate(with_limits(context, limits)), context)

    def _balance(self) -> Balance:
        return ledger().balance(self._limits.total)


def current_cost() -> Decimal | None:
    """What the calls of the innermost budget have cost so far; None where no budget applies, and nothing is counted."""
    limits = limits_in(context_api.get_current())
    return ledger().balance(limits[-1].total).spent_usd if limits else None


def _nothing(_error: BaseException | None) -> None:
    """A budget has nothing to finish: calls under way settle when they end."""
