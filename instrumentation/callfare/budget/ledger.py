"""Accounts of a process and claims on them: the one place where a budget's money is compared and moved.

The rule that must never break: comparing and reserving is one step, under one lock, for all accounts of a claim
together; replacing a reservation by what was spent is one step too. Between two steps another call would see money
that is already promised.

Settling never waits. It may run in a finaliser, which may run in the middle of a step of the same thread: waiting for
the lock would be waiting for itself. So a settlement is put into a queue, which the holder of the lock works off.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal

from callfare.forking import reset_after_fork
from cost_exporter.domain.money import CONTEXT, ZERO

__all__ = ["Account", "Balance", "Claim", "Ledger", "ledger"]


class Balance:
    """An account at one moment."""

    __slots__ = ("limit_usd", "reserved_usd", "spent_usd")

    def __init__(self, limit_usd: Decimal, spent_usd: Decimal, reserved_usd: Decimal) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.reserved_usd = reserved_usd

    @property
    def remaining_usd(self) -> Decimal:
        """What no call has spent or reserved. Below zero where calls cost more than was estimated."""
        return CONTEXT.subtract(CONTEXT.subtract(self.limit_usd, self.spent_usd), self.reserved_usd)


class Account:
    """What one budget, or one task of it, may spend and has spent. Only the ledger writes to it."""

    __slots__ = ("limit_usd", "reserved_usd", "spent_usd")

    def __init__(self, limit_usd: Decimal) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = ZERO
        self.reserved_usd = ZERO


class Claim:
    """Money reserved in several accounts at once, for one call. Settled once; later settlements change nothing."""

    __slots__ = ("accounts", "held_usd", "is_settled")

    def __init__(self, accounts: Sequence[Account], held_usd: Decimal) -> None:
        self.accounts = accounts
        self.held_usd = held_usd
        self.is_settled = False


class Ledger:
    """All accounts of this process, behind one lock, which is held for a few microseconds at a time."""

    def __init__(self) -> None:
        self._settlements: deque[tuple[Claim, Decimal, Decimal]] = deque()
        self.reset_after_fork()
        reset_after_fork(self)

    def reset_after_fork(self) -> None:
        """The lock may be held by a thread that the child does not have."""
        self._lock = threading.Lock()

    def claim(
        self, accounts: Sequence[Account], estimate_usd: Decimal, may_exceed: Callable[[Account], bool]
    ) -> tuple[Claim | None, list[tuple[Account, Balance]]]:
        """Reserve in all accounts or in none.

        Returns the claim, and the accounts that it does not fit into, as they were; the claim is None where one of
        these may not be exceeded. A claim of zero fits always.
        """
        claim = Claim(accounts, ZERO)
        is_held, short = self.extend(claim, estimate_usd, may_exceed)
        return claim if is_held else None, short

    def extend(
        self,
        claim: Claim,
        held_usd: Decimal,
        may_exceed: Callable[[Account], bool] | None = None,
        spent_usd: Decimal = ZERO,
    ) -> tuple[bool, list[tuple[Account, Balance]]]:
        """Let the claim of a call that goes on hold this from now on, and count what it has spent.

        Returns whether it does, and the accounts that it does not fit into, as they were; where one of these may not
        be exceeded, everything stays as it was. Without `may_exceed` each of them may.
        """
        try:
            with self._lock:
                self._work_off()
                if claim.is_settled:
                    return True, []
                change_usd = CONTEXT.subtract(CONTEXT.add(held_usd, spent_usd), claim.held_usd)
                short = [
                    (account, Balance(account.limit_usd, account.spent_usd, account.reserved_usd))
                    for account in claim.accounts
                    if held_usd and not _fits(account, change_usd)
                ]
                if may_exceed is not None and not all(may_exceed(account) for account, _ in short):
                    return False, short
                for account in claim.accounts:
                    account.spent_usd = CONTEXT.add(account.spent_usd, spent_usd)
                    account.reserved_usd = CONTEXT.add(account.reserved_usd, CONTEXT.subtract(held_usd, claim.held_usd))
                claim.held_usd = held_usd
                return True, short
        finally:
            self._settle_waiting()

    def settle(self, claim: Claim, spent_usd: Decimal, still_held_usd: Decimal = ZERO) -> None:
        """Replace what the claim holds by what was spent, and what stays held. Never waits."""
        self._settlements.append((claim, spent_usd, still_held_usd))
        self._settle_waiting()

    def limit(self, account: Account, limit_usd: Decimal | None) -> Balance:
        """Set what the account may spend in all, and return it as it is then. None: what it has taken, and no more."""
        try:
            with self._lock:
                self._work_off()
                taken_usd = CONTEXT.add(account.spent_usd, account.reserved_usd)
                account.limit_usd = taken_usd if limit_usd is None else limit_usd
                return Balance(account.limit_usd, account.spent_usd, account.reserved_usd)
        finally:
            self._settle_waiting()

    def balance(self, account: Account) -> Balance:
        """The account now, with everything that was settled before."""
        try:
            with self._lock:
                self._work_off()
                return Balance(account.limit_usd, account.spent_usd, account.reserved_usd)
        finally:
            self._settle_waiting()

    def _settle_waiting(self) -> None:
        """Work off the queue, unless somebody holds the lock, who will look at the queue afterwards."""
        while self._settlements:
            if not self._lock.acquire(blocking=False):
                return
            try:
                self._work_off()
            finally:
                self._lock.release()

    def _work_off(self) -> None:
        """Apply what waits; the lock is held."""
        while self._settlements:
            claim, spent_usd, still_held_usd = self._settlements.popleft()
            if claim.is_settled:
                continue
            claim.is_settled = True
            for account in claim.accounts:
                released_usd = CONTEXT.subtract(claim.held_usd, still_held_usd)
                account.reserved_usd = CONTEXT.subtract(account.reserved_usd, released_usd)
                account.spent_usd = CONTEXT.add(account.spent_usd, spent_usd)


def _fits(account: Account, estimate_usd: Decimal) -> bool:
    taken_usd = CONTEXT.add(account.spent_usd, account.reserved_usd)
    return CONTEXT.add(taken_usd, estimate_usd) <= account.limit_usd


_ledger = Ledger()


def ledger() -> Ledger:
    """The ledger of this process."""
    return _ledger
