"""What fits into a budget, and how large a lease may be."""

from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_exporter.domain.budget import (
    BudgetState,
    LeaseAsked,
    holds_of,
    lease_grant,
    refusals,
    shortfalls,
    without_lease,
)


def budget(name: str = "a", limit: str = "1", spent: str = "0", reserved: str = "0", **fields: Any) -> BudgetState:
    given: dict[str, Any] = {
        "account_id": ord(name[0]),
        "tenant": "acme",
        "time_window": "day",
        "window_start": datetime(2026, 1, 1, tzinfo=UTC),
        "resets_at": datetime(2026, 1, 2, tzinfo=UTC),
        "enforcement": "hard",
        "unpriced": "refuse",
    }
    return BudgetState(name=name, limit_usd=D(limit), spent_usd=D(spent), reserved_usd=D(reserved), **(given | fields))


def test_the_tightest_comes_first_and_only_a_hard_one_refuses() -> None:
    """A call that fits exactly fits; one that costs nothing fits always."""
    soft = budget("soft", "0.1", spent="0.2", enforcement="soft")
    hard = budget("hard", "1", spent="0.5", reserved="0.2")
    short = shortfalls([hard, soft], D("0.31"))
    assert [each.budget.name for each in short] == ["soft", "hard"]
    assert [each.budget.name for each in refusals(short)] == ["hard"]
    assert [each.budget.name for each in shortfalls([hard, soft], D("0.3"))] == ["soft"]
    assert shortfalls([hard, soft], D(0)) == []


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ({"unpriced": "refuse"}, None),
        ({"unpriced": "allow"}, D(0)),
        ({"unpriced": "assume", "assumed_usd": D("0.05")}, D("0.05")),
    ],
)
def test_an_unknown_price_is_refused_allowed_or_assumed(fields: dict[str, Any], held: D | None) -> None:
    """And with a price all of them hold the estimate."""
    one = budget(**fields)
    assert one.held_for(None) == held
    assert one.held_for(D("0.2")) == D("0.2")
    assert [each.reason for each in shortfalls([one], None)] == (["unpriced"] if held is None else [])
    assert holds_of([one], None) == {one.account_id: held or 0}


def test_an_assumed_amount_has_to_fit() -> None:
    """It is an estimate like another."""
    one = budget(limit="0.04", unpriced="assume", assumed_usd=D("0.05"))
    assert [each.reason for each in shortfalls([one], None)] == ["exceeded"]


def test_a_lease_is_half_of_an_equal_share_or_what_its_process_needs() -> None:
    """Whichever is less; at least one call."""
    asked = LeaseAsked(estimate_usd=D("0.01"))
    assert lease_grant([budget()], asked, own_held_usd=D(0)).granted_usd == D("0.04")
    fast = LeaseAsked(estimate_usd=D("0.01"), rate_usd=D(1))
    assert lease_grant([budget()], fast, own_held_usd=D(0)).granted_usd == D("0.5")
    assert lease_grant([budget(lease_count=4)], fast, own_held_usd=D(0)).granted_usd == D("0.1")
    more = LeaseAsked(estimate_usd=D("0.01"), admitted_usd=D("0.3"))
    assert lease_grant([budget()], more, own_held_usd=D("0.3")).granted_usd == D("0.34")


def test_near_the_end_each_call_asks() -> None:
    """What many processes hold and cannot use would leave much of the limit unspent."""
    asked = LeaseAsked(estimate_usd=D("0.01"), admitted_usd=D("0.2"))
    for reserved, leases, is_near in (("0.68", 2, False), ("0.681", 2, True), ("0.4", 29, False), ("0.401", 29, True)):
        grant = lease_grant([budget(reserved=reserved, lease_count=leases)], asked, own_held_usd=D(0))
        assert grant.reserves_each_call == is_near
        assert (grant.granted_usd == D("0.2")) == is_near
    free = LeaseAsked(estimate_usd=D(0))
    assert lease_grant([budget(spent="1")], free, own_held_usd=D(0)).reserves_each_call
    assert not lease_grant([budget()], free, own_held_usd=D(0)).reserves_each_call


def test_a_budget_that_refuses_nothing_does_not_bound_a_lease() -> None:
    """The process says when it is exceeded."""
    soft = budget(spent="9", enforcement="soft")
    asked = LeaseAsked(estimate_usd=D("0.1"), rate_usd=D("0.1"))
    assert lease_grant([soft], asked, own_held_usd=D(0)).granted_usd == 1


MONEY = st.decimals(0, 10, places=4)


@given(
    st.lists(st.tuples(MONEY, MONEY, MONEY, st.integers(0, 20)), min_size=1, max_size=4),
    st.tuples(MONEY, MONEY, MONEY),
    MONEY,
)
def test_no_grant_goes_beyond_any_limit(
    figures: list[tuple[D, D, D, int]], wanted: tuple[D, D, D], own_held_usd: D
) -> None:
    """Spent, reserved by others, held by itself and newly granted: together at most the limit."""
    estimate_usd, rate_usd, admitted_usd = wanted
    budgets = [
        budget(chr(97 + n), str(limit), str(spent), str(reserved), lease_count=leases)
        for n, (limit, spent, reserved, leases) in enumerate(figures)
    ]
    asked = LeaseAsked(estimate_usd=estimate_usd, rate_usd=rate_usd, admitted_usd=admitted_usd)
    grant = lease_grant(budgets, asked, own_held_usd=own_held_usd)
    free_usd = grant.granted_usd - admitted_usd
    assert free_usd >= 0
    if free_usd:
        assert free_usd >= estimate_usd
        for each in budgets:
            assert each.spent_usd + each.reserved_usd + own_held_usd + free_usd <= each.limit_usd


def test_a_budget_without_one_of_its_leases() -> None:
    """For the one that renews it."""
    other = without_lease(budget(reserved="0.5", lease_count=1), D("0.2"))
    assert (other.reserved_usd, other.lease_count) == (D("0.3"), 0)
    assert without_lease(other, D(0)).lease_count == 0
