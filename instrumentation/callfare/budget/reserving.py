"""Reserve in several budgets: in all of them or in none, refused by the tightest.

A hard budget refuses what does not fit and what has no price. A soft one lets it pass and reports it; a shadow one lets
it pass and reports that it would have been refused.
"""

from collections.abc import Sequence
from decimal import Decimal

from opentelemetry.context import Context

from callfare.budget.errors import BudgetExceeded, Reason
from callfare.budget.ledger import Account, Balance, Claim, ledger
from callfare.budget.limits import Limits
from callfare.budget.notices import notice, notice_running
from cost_exporter.domain.money import ZERO

__all__ = ["follow_claim", "raise_claim", "reserve"]


def reserve(
    budgets: Sequence[Limits],
    estimate_usd: Decimal | None,
    *,
    task: str = "",
    call: str = "",
    context: Context | None = None,
) -> Claim:
    """Reserve an estimate, None where there is none. Raises `BudgetExceeded` where a hard budget refuses."""
    asked = _Asked(budgets, estimate_usd, task=task, call=call)
    if estimate_usd is None:
        complaints = [asked.complaint(budget.total, ledger().balance(budget.total)) for budget in budgets]
        if any(budget.is_hard for budget in budgets):
            _refuse(complaints)
        claim: Claim | None = Claim(asked.accounts, ZERO)
    else:
        claim, short = ledger().claim(asked.accounts, estimate_usd, asked.may_exceed)
        complaints = asked.complaints(short)
        if claim is None:
            _refuse(complaints, context)
    for budget, error in complaints:
        notice(budget, error, context)
    assert claim is not None
    return claim


def raise_claim(
    budgets: Sequence[Limits],
    claim: Claim,
    estimate_usd: Decimal,
    *,
    task: str,
    call: str,
    context: Context,
) -> None:
    """Let a claim hold more, because its request has grown. Raises `BudgetExceeded`, and then it holds what it held."""
    asked = _Asked(budgets, estimate_usd, task=task, call=call)
    is_held, short = ledger().extend(claim, estimate_usd, asked.may_exceed)
    complaints = asked.complaints(short)
    if not is_held:
        _refuse(complaints, context)
    for budget, error in complaints:
        notice(budget, error, context)


def follow_claim(
    budgets: Sequence[Limits],
    claim: Claim,
    held_usd: Decimal,
    spent_usd: Decimal,
    *,
    task: str,
    call: str,
    context: Context,
) -> None:
    """Let the claim of a call that goes on hold this, in any case. What it does not fit into is noticed."""
    asked = _Asked(budgets, held_usd, task=task, call=call)
    _, short = ledger().extend(claim, held_usd, spent_usd=spent_usd)
    for budget, error in asked.complaints(short):
        notice_running(budget, error, context)


class _Asked:
    """What a call asks of its budgets, and what they have against it."""

    def __init__(self, budgets: Sequence[Limits], estimate_usd: Decimal | None, *, task: str, call: str) -> None:
        self._owners: dict[int, tuple[Limits, str]] = {}
        self._estimate_usd = estimate_usd
        self._call = call
        self.accounts: list[Account] = []
        for budget in budgets:
            for account, its_task in budget.accounts_of(task).items():
                self._owners[id(account)] = (budget, its_task)
                self.accounts.append(account)

    def may_exceed(self, account: Account) -> bool:
        return not self._owners[id(account)][0].is_hard

    def complaints(self, short: Sequence[tuple[Account, Balance]]) -> list[tuple[Limits, BudgetExceeded]]:
        """Return what has been found too small, the tightest first."""
        return [self.complaint(*one) for one in sorted(short, key=lambda one: one[1].remaining_usd)]

    def complaint(self, account: Account, balance: Balance) -> tuple[Limits, BudgetExceeded]:
        budget, its_task = self._owners[id(account)]
        reason: Reason = "unpriced" if self._estimate_usd is None else "exceeded"
        return budget, BudgetExceeded(
            budget=budget.name,
            limit_usd=balance.limit_usd,
            spent_usd=balance.spent_usd,
            reserved_usd=balance.reserved_usd,
            estimate_usd=self._estimate_usd,
            task=its_task,
            reason=reason,
            call=self._call,
        )


def _refuse(complaints: Sequence[tuple[Limits, BudgetExceeded]], context: Context | None = None) -> None:
    """Raise what the tightest hard budget has against it."""
    budget, error = next(one for one in complaints if one[0].is_hard)
    notice(budget, error, context)
    raise error
