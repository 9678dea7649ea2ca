"""Comparing and reserving is one step, and so is replacing a reservation: checked between any two lines of either.

Threads meet in such a gap once in a million runs. Here every line that the ledger executes is a meeting: whoever
holds no lock there might be another thread, so the test is one.
"""

import sys
from collections.abc import Callable
from decimal import Decimal
from types import FrameType
from typing import Any

import pytest

from callfare import BudgetExceeded, budget
from callfare.budget.ledger import Account, Claim, ledger
from cost_exporter.domain.money import ZERO

DIME = Decimal("0.10")


def meet(run: Callable[[], object], other: Callable[[], object], at: int) -> bool:
    """Run it, and the other before its line number `at` unless it holds the lock there; False past its last line."""
    lines = 0
    is_met = False
    traced_before = sys.gettrace()  # the coverage measured for the tests that follow

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines, is_met
        if "callfare" not in frame.f_code.co_filename or frame.f_code.co_filename.endswith("test_budget_steps.py"):
            return trace
        if event == "line":
            lines += 1
            if lines == at:
                is_met = True
                sys.settrace(None)
                if not ledger()._lock.locked():
                    other()
        return trace

    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(traced_before)
    return is_met


def each_meeting(make: Callable[[], tuple[Callable[[], object], Callable[[], object], Callable[[], None]]]) -> int:
    """Let two things meet at each line of the first; returns at how many."""
    at = 0
    while True:
        run, other, check = make()
        at += 1
        is_met = meet(run, other, at)
        check()
        if not is_met:
            return at - 1


def test_two_calls_that_fit_only_one_at_a_time_never_both_pass() -> None:
    """Whenever the second one comes while the first is being decided."""

    def make() -> Any:
        money = budget("0.15", {"analysis": "0.15"})
        passed: list[Any] = []

        def call() -> None:
            reservation = money.reserve(DIME, "analysis")
            try:
                reservation.__enter__()
            except BudgetExceeded:
                return
            passed.append(reservation)

        def check() -> None:
            assert len(passed) == 1
            assert money.reserved_usd == DIME

        return call, call, check

    assert each_meeting(make) > 20


def test_money_that_is_settled_is_never_seen_as_free() -> None:
    """A call that costs what was estimated changes nothing of what remains, at no moment."""

    def make() -> Any:
        money = budget("0.15")
        reservation = money.reserve(DIME)
        reservation.__enter__()
        seen: list[Decimal] = []

        def check() -> None:
            assert set(seen) <= {Decimal("0.05")}
            assert money.spent_usd == DIME

        return lambda: reservation.settle(DIME), lambda: seen.append(money.remaining_usd), check

    assert each_meeting(make) > 10


def test_a_settlement_inside_a_step_of_the_same_thread_waits_for_nobody() -> None:
    """A finaliser runs where it likes, also under the lock; nothing it settles is lost."""

    def make() -> Any:
        accounts = [Account(Decimal(1)), Account(Decimal(1))]
        collected, _ = ledger().claim(accounts, DIME, lambda _: False)
        assert collected is not None

        def finalise() -> None:
            ledger().settle(collected, Decimal("0.07"))

        def check() -> None:
            for account in accounts:
                assert ledger().balance(account).reserved_usd == DIME
                assert ledger().balance(account).spent_usd in {ZERO, Decimal("0.07")}

        return lambda: ledger().claim(accounts, DIME, lambda _: False), finalise, check

    at = 0
    met = True
    while met:
        at += 1
        run, finalise, check = make()
        met = _meet_under_the_lock(run, finalise, at)
        if met:
            check()
    assert at > 20


def _meet_under_the_lock(run: Callable[[], object], other: Callable[[], object], at: int) -> bool:
    lines, is_met = 0, False
    traced_before = sys.gettrace()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines, is_met
        if not frame.f_code.co_filename.endswith("ledger.py"):
            return trace
        if event == "line":
            lines += 1
            if lines == at:
                is_met = True
                sys.settrace(None)
                other()
        return trace

    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(traced_before)
    return is_met


def test_a_claim_is_settled_once() -> None:
    """A stream may be closed and collected: the first of both counts."""
    account = Account(Decimal(1))
    claim, short = ledger().claim([account], DIME, lambda _: False)
    assert (short, isinstance(claim, Claim)) == ([], True)
    assert claim is not None
    ledger().settle(claim, Decimal("0.04"))
    ledger().settle(claim, ZERO)
    ledger().settle(claim, Decimal("0.05"), DIME)
    balance = ledger().balance(account)
    assert (balance.spent_usd, balance.reserved_usd) == (Decimal("0.04"), 0)


@pytest.mark.parametrize("held", ["0", "0.03"])
def test_what_is_not_known_stays_held(held) -> None:
    """Of a cost known in part the rest of the estimate is neither spent nor free."""
    account = Account(Decimal(1))
    claim, _ = ledger().claim([account], DIME, lambda _: False)
    assert claim is not None
    ledger().settle(claim, Decimal("0.07"), Decimal(held))
    balance = ledger().balance(account)
    assert (balance.spent_usd, balance.reserved_usd) == (Decimal("0.07"), Decimal(held))
