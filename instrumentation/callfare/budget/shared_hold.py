"""What the budgets of a service hold for one call: by a lease, which is settled here, or by a reservation of its own.

A call that goes on extends what it holds. Nothing in here waits: a lease that has no room lets the call ask for a
reservation of its own, whose answer comes later; until then the lease holds what it has not got, and reports that.
"""

import threading
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Protocol

from callfare.budget.errors import BudgetExceeded
from callfare.budget.lease import Lease, Words
from callfare.budget.ledger import Claim, ledger
from cost_exporter.domain.money import CONTEXT, ZERO

__all__ = ["Extensions", "Notice", "OnReserved", "SharedHold"]

Notice = Callable[[BudgetExceeded], None]
"""Reports a budget of the service that has no money for a call that goes on."""
OnReserved = Callable[[str | None, BudgetExceeded | None], None]
"""Gets the id of a reservation, or why there is none; neither where no budget applies or nobody answers."""


class Extensions(Protocol):
    """What a hold asks of the budgets that it is of."""

    def reserve_later(self, words: Words, held_usd: Decimal, call: str, on_reserved: OnReserved) -> None:
        """Ask for a reservation for a call that goes on. Waits for nothing."""
        ...

    def extend_later(
        self, reservation_id: str, words: Words, total_usd: Decimal, call: str, on_reserved: OnReserved
    ) -> None:
        """Let a reservation hold this in all, what has arrived of it included. Waits for nothing."""
        ...

    def settled(self, reservation_id: str, actual_usd: Decimal | None) -> None:
        """Say what a reserved call has cost."""
        ...

    def released(self, reservation_id: str) -> None:
        """Say that a reserved call never went out."""
        ...


class SharedHold:
    """See the module. Settled or released once, without waiting.

    One question to the service is under way at a time. What the call comes to need meanwhile is asked for when the
    answer is there: answers to amounts that are out of date would refuse what fits, and hold too little.
    """

    __slots__ = (
        "_budgets", "_call", "_claim", "_held_usd", "_is_over", "_is_short", "_lease", "_lock", "_spent_usd", "_words",
        "counted_id", "is_asking", "refusal", "reservation_id",
    )  # fmt: skip

    def __init__(
        self,
        budgets: Extensions,
        reservation_id: str,
        claim: Claim | None,
        *,
        lease: Lease,
        words: Words,
        call: str = "",
    ) -> None:
        """`claim` is on the lease's account; None where the call reserved at the service."""
        self._budgets = budgets
        self._claim = claim
        self._lease = lease
        self._words = words
        self._call = call
        self._held_usd = ZERO
        """What the call was last extended to."""
        self._spent_usd = ZERO
        """Of a reservation: what earlier parts of the call have cost."""
        self._is_short = False
        """Whether what the call was last extended to takes a reservation of its own."""
        self._is_over = False
        self._lock = threading.RLock()  # a finaliser may settle while its thread extends
        self.is_asking = False
        """Whether a question is under way."""
        self.refusal: BudgetExceeded | None = None
        """Why the last extension was refused; None where it was not."""
        self.reservation_id = reservation_id
        """The money that the call has now."""
        self.counted_id = reservation_id
        """The money that its last cost was counted in; goes onto the span."""

    def settle(self, spent_usd: Decimal, *, is_known: bool = True) -> None:
        """Replace the estimate by what was spent. Where that is not all, or not known, the rest stays held."""
        with self._lock:
            is_over, self._is_over = self._is_over, True
            self.counted_id = self.reservation_id
            claim = self._claim
        if claim is not None:
            still_held_usd = ZERO if is_known else max(ZERO, CONTEXT.subtract(claim.held_usd, spent_usd))
            ledger().settle(claim, spent_usd, still_held_usd)
        elif not is_over:
            total_usd = CONTEXT.add(self._spent_usd, spent_usd)
            self._budgets.settled(self.reservation_id, total_usd if is_known else None)

    def release(self) -> None:
        """The call never went out."""
        with self._lock:
            is_over, self._is_over = self._is_over, True
            claim = self._claim
        if claim is not None:
            ledger().settle(claim, ZERO)
        elif not is_over:
            self._budgets.released(self.reservation_id)

    def extend(self, held_usd: Decimal, spent_usd: Decimal, on_short: Notice) -> None:
        """Hold this from now on, and count what was spent. `on_short` is called where a budget has no more."""
        with self._lock:
            if self._is_over:
                return
            self.counted_id = self.reservation_id
            self._held_usd = held_usd
            if self._claim is None:
                self._spent_usd = CONTEXT.add(self._spent_usd, spent_usd)
            else:
                # Under the lock: a claim that ends meanwhile would not count what was spent.
                self._is_short = self._outgrows(self._claim, held_usd, spent_usd)
            self._ask(on_short)

    def _outgrows(self, claim: Claim, held_usd: Decimal, spent_usd: Decimal) -> bool:
        is_of_lease = self._lease.lease_id == self.reservation_id and not self._lease.is_over()
        _, short = ledger().extend(claim, held_usd if is_of_lease else ZERO, spent_usd=spent_usd)
        return bool(held_usd and (short or not is_of_lease))

    def _total_usd(self) -> Decimal:
        """What the service has to hold in all; nothing where the lease has room."""
        if self._claim is not None and not self._is_short:
            return ZERO
        return CONTEXT.add(self._spent_usd, self._held_usd)

    def _ask(self, on_short: Notice) -> None:
        """Ask the service for what the call needs by now, unless it is asked already. The lock is held."""
        if self.is_asking or self._is_over or (self._claim is not None and not self._is_short):
            return
        self.is_asking = True
        total_usd = self._total_usd()
        answered = partial(self._answered, total_usd, on_short)
        if self._claim is None:
            self._budgets.extend_later(self.reservation_id, self._words, total_usd, self._call, answered)
        else:
            self._budgets.reserve_later(self._words, total_usd, self._call, answered)

    def _answered(
        self, asked_usd: Decimal, on_short: Notice, reservation_id: str | None, refusal: BudgetExceeded | None
    ) -> None:
        """Take over a reservation of the call's own in place of what its lease has no room for."""
        late_id: str | None = None
        with self._lock:
            self.is_asking = False
            self.refusal = refusal
            is_over, claim = self._is_over, self._claim
            if claim is not None and reservation_id is not None:
                if is_over:
                    late_id = reservation_id
                else:
                    ledger().settle(claim, ZERO)
                    self._claim, self.reservation_id = None, reservation_id
            if self._total_usd() != asked_usd:
                self._ask(on_short)
        if late_id is not None:
            self._budgets.released(late_id)
        if refusal is not None and not is_over:
            on_short(refusal)
