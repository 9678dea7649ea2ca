"""Faults that budgets must not have, and the test that plants each and sees it.

| fault | planted in | seen because |
|---|---|---|
| check and count in one statement | test_reserving `_in_one_statement` | it admits 1.2 of 1.0 |
| a counter beside the ledger | test_leasing `CountsBesideTheLedger` | a span sent again is counted twice |
| alert before commit | test_from_spend_to_receiver `_before_the_commit` | a receiver hears of what was rolled back |
| release before settle | test_leasing `ReleasesBeforeItSettles` | less is held than was billed and has not arrived |
| lease returned on expiry | test_leasing `ReturnsOnExpiry` | the vendor bills more than the limit |
"""

import pytest

from tests.alerts import test_from_spend_to_receiver
from tests.store.budgets import test_leasing, test_reserving

PLANTED = [
    (test_reserving, "_in_one_statement", "test_who_waits_for_a_lock_sees_what_the_holder_reserved"),
    (test_leasing, "CountsBesideTheLedger", "test_each_planted_fault_is_seen"),
    (test_from_spend_to_receiver, "_before_the_commit", "test_nobody_hears_of_an_alert_that_was_rolled_back"),
    (test_leasing, "ReleasesBeforeItSettles", "test_each_planted_fault_is_seen"),
    (test_leasing, "ReturnsOnExpiry", "test_each_planted_fault_is_seen"),
]


@pytest.mark.parametrize(("module", "fault", "test"), PLANTED, ids=[fault for _, fault, _ in PLANTED])
def test_each_fault_is_a_case_of_its_test(module: object, fault: str, test: str) -> None:
    """A case that somebody takes out would let the fault come back unseen."""
    cases = [mark.args[1] for mark in getattr(module, test).pytestmark if mark.name == "parametrize"]
    assert getattr(module, fault) in [part for each in cases for case in each for part in _parts(case)]
    assert f"`{fault}`" in (__doc__ or "")


def _parts(case: object) -> tuple[object, ...]:
    return case if isinstance(case, tuple) else (case,)
