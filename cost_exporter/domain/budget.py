"""Budgets: what fits into one, and how large a lease may be.

Pure: the store reads the figures under a lock and asks here. Remaining is the limit less what was spent and less
what is reserved. Only a hard budget refuses; a soft one reports, a shadow one reports what it would have refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from cost_exporter.domain.money import CONTEXT, ZERO, quantise_line

__all__ = [
    "RENEW_EVERY_SECONDS",
    "BudgetState",
    "Enforcement",
    "LeaseAsked",
    "LeaseGrant",
    "Short",
    "TimeWindow",
    "Unpriced",
    "holds_of",
    "lease_grant",
    "refusals",
    "shortfalls",
    "without",
    "without_lease",
]

TimeWindow = Literal["hour", "day", "month", "total"]
Enforcement = Literal["hard", "soft", "shadow"]
Unpriced = Literal["refuse", "allow", "assume"]
RENEW_EVERY_SECONDS: Final = 5
_FIRST_CALLS: Final = 4
"""A process whose rate is not known yet gets as much as this number of calls."""
_SHARES: Final = 2
"""A lease takes at most this part of an equal share, so that a crash strands little."""
_CALLS_MIN: Final = 32
"""With fewer calls left than this nothing is leased: sixteen processes may be about to begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """One budget of one tenant in one window, as it is under lock."""

    account_id: int
    name: str
    tenant: str
    time_window: TimeWindow
    window_start: datetime
    resets_at: datetime | None
    """None: never."""
    limit_usd: Decimal
    spent_usd: Decimal
    reserved_usd: Decimal
    enforcement: Enforcement
    unpriced: Unpriced
    assumed_usd: Decimal | None = None
    lease_count: int = 0
    """Processes that have a lease on it."""

    @property
    def remaining_usd(self) -> Decimal:
        """What is neither spent nor reserved. Below zero where calls cost more than was estimated."""
        return CONTEXT.subtract(CONTEXT.subtract(self.limit_usd, self.spent_usd), self.reserved_usd)

    def held_for(self, estimate_usd: Decimal | None) -> Decimal | None:
        """Return what a call of this estimate takes; None where it has no price and the budget wants one."""
        if estimate_usd is not None:
            return estimate_usd
        if self.unpriced == "assume":
            return self.assumed_usd
        return ZERO if self.unpriced == "allow" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """A budget that a call does not fit into."""

    budget: BudgetState
    reason: Literal["exceeded", "unpriced"]


def shortfalls(budgets: Sequence[BudgetState], estimate_usd: Decimal | None) -> list[Short]:
    """Return the budgets that the call does not fit into, the tightest first. A call that costs 0 fits always."""
    found: list[Short] = []
    for budget in sorted(budgets, key=lambda each: each.remaining_usd):
        held_usd = budget.held_for(estimate_usd)
        if held_usd is None:
            found.append(Short(budget=budget, reason="unpriced"))
        elif held_usd and held_usd > budget.remaining_usd:
            found.append(Short(budget=budget, reason="exceeded"))
    return found


def refusals(short: Sequence[Short]) -> list[Short]:
    """Return those of them that refuse the call."""
    return [each for each in short if each.budget.enforcement == "hard"]


def holds_of(budgets: Sequence[BudgetState], estimate_usd: Decimal | None) -> dict[int, Decimal]:
    """Return what the call takes from each account: nothing where its price is unknown and that does not matter."""
    return {each.account_id: each.held_for(estimate_usd) or ZERO for each in budgets}


def without(budget: BudgetState, own_held_usd: Decimal) -> BudgetState:
    """Return the budget as it is without a reservation that holds this much."""
    return replace(budget, reserved_usd=CONTEXT.subtract(budget.reserved_usd, own_held_usd))


def without_lease(budget: BudgetState, own_held_usd: Decimal) -> BudgetState:
    """Return the budget as it is without one of its leases, which holds this much."""
    return replace(without(budget, own_held_usd), lease_count=max(0, budget.lease_count - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAsked:
    """What a process says when it asks for money, or for more of it."""

    estimate_usd: Decimal
    """What its next call may cost."""
    rate_usd: Decimal = ZERO
    """What it spends in a second."""
    admitted_usd: Decimal = ZERO
    """What the calls that this lease let pass have cost, or will cost by their estimates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseGrant:
    """What a process may spend in all by one lease."""

    granted_usd: Decimal
    reserves_each_call: bool = False
    """So little remains that each call has to ask."""


def lease_grant(budgets: Sequence[BudgetState], asked: LeaseAsked, *, own_held_usd: Decimal) -> LeaseGrant:
    """Return how much a lease may hold, what its calls took before included.

    The budgets' figures are without this lease: neither its hold in `reserved_usd` nor itself in `lease_count`.
    `own_held_usd` is what it admitted that has not arrived: nobody can take that back. A lease is at most half of an
    equal share of what remains, and where that is less than a call nothing is leased, because what each of many
    processes holds and cannot use would leave a good part of the limit unspent.
    """
    wanted_usd = CONTEXT.multiply(asked.rate_usd, Decimal(2 * RENEW_EVERY_SECONDS))
    wanted_usd = max(wanted_usd, CONTEXT.multiply(asked.estimate_usd, Decimal(_FIRST_CALLS)))
    for budget in budgets:
        if budget.enforcement != "hard":
            continue
        remaining_usd = CONTEXT.subtract(budget.remaining_usd, own_held_usd)
        shares = Decimal(_SHARES * (budget.lease_count + 1))
        calls = max(shares, Decimal(_CALLS_MIN))
        if remaining_usd < CONTEXT.multiply(calls, asked.estimate_usd) or remaining_usd <= 0:
            return LeaseGrant(granted_usd=asked.admitted_usd, reserves_each_call=True)
        wanted_usd = min(wanted_usd, CONTEXT.divide(remaining_usd, shares))
    if asked.estimate_usd:  # whole calls: a fragment would be held, and be of use to nobody
        calls = max(Decimal(1), CONTEXT.divide_int(wanted_usd, asked.estimate_usd))
        free_usd = CONTEXT.multiply(calls, asked.estimate_usd)
    else:
        free_usd = quantise_line(wanted_usd)
    return LeaseGrant(granted_usd=CONTEXT.add(asked.admitted_usd, free_usd))
