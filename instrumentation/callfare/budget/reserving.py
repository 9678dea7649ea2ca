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
from callfare.budget.notices import notice
from cost_exporter.domain.money import ZERO

__all__ = ["reserve"]


def reserve(
    budgets: Sequence[Limits],
    estimate_usd: Decimal | None,
    *,
    task: str = "",
    call: str = "",
    context: Context | None = None,
) -> Claim:
    """Reserve an estimate, None where there is none. Raises `BudgetExceeded` where a hard budget refuses."""
    owners: dict[int, tuple[Limits, str]] = {}
    accounts: list[Account] = []
    for budget in budgets:
        for account, its_task in budget.accounts_of(task).items():
            owners[id(account)] = (budget, its_task)
            accounts.append(account)

    def complaint(account: Account, balance: Balance, reason: Reason) -> tuple[Limits, BudgetExceeded]:
        budget, its_task = owners[id(account)]
        return budget, BudgetExceeded(
            budget=budget.name,
            limit_usd=balance.limit_usd,
            spent_usd=balance.spent_usd,
            reserved_usd=balance.reserved_usd,
            estimate_usd=estimate_usd,
            task=its_task,
            reason=reason,
            call=call,
        )

    if estimate_usd is None:
        complaints = [complaint(budget.total, ledger().balance(budget.total), "unpriced") for budget in budgets]
        if any(budget.is_hard for budget in budgets):
            _refuse(complaints)
        claim: Claim | None = Claim(accounts, ZERO)
    else:
        claim, short = ledger().claim(accounts, estimate_usd, lambda account: not owners[id(account)][0].is_hard)
        tightest_first = sorted(short, key=lambda one: one[1].remaining_usd)
        complaints = [complaint(account, balance, "exceeded") for account, balance in tightest_first]
        if claim is None:
            _refuse(complaints, context)
    for budget, error in complaints:
        notice(budget, error, context)
    assert claim is not None
    return claim


def _refuse(complaints: Sequence[tuple[Limits, BudgetExceeded]], context: Context | None = None) -> None:
    """Raise what the tightest hard budget has against it."""
    budget, error = next(one for one in complaints if one[0].is_hard)
    notice(budget, error, context)
    raise error
