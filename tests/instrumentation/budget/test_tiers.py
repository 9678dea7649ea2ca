"""Tiers: budgets of requests by the names of the configuration file, five of them in the example."""

from decimal import Decimal as D
from pathlib import Path

import pytest

from callfare import BudgetExceeded, budget
from callfare import attributes as names
from callfare.budget import tiers
from tests.support.recording import Recorded

EXAMPLE = Path(__file__).parents[3] / "examples" / "tiers.yaml"


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLFARE_CONFIG", str(EXAMPLE))
    monkeypatch.setattr(tiers, "_warned", set())


def test_a_tier_has_the_limits_of_the_file(attributed: Recorded) -> None:
    """In all and by task; its name is in errors and on the spans inside."""
    with budget(tier="quick") as money, attributed.provider.get_tracer("t").start_as_current_span("inside"):
        assert money.limit_usd == D("0.50")
        with money.reserve("0.30", task="analysis") as reservation:
            reservation.settle("0.30")
        with pytest.raises(BudgetExceeded) as refused, money.reserve("0.01", task="analysis"):
            pass
        assert (refused.value.budget, refused.value.task) == ("quick", "analysis")
    assert attributed.attributes[0][names.TIER] == "quick"


def test_the_example_has_five() -> None:
    """Each can be used, and a larger one allows more."""
    limits = [budget(tier=name).limit_usd for name in ("quick", "standard", "detailed", "thorough", "exhaustive")]
    assert limits == sorted(limits)
    assert limits[1] == D("1.50")


def test_an_unknown_tier_is_standard_and_logged_once(attributed: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """What applies is on the spans, so that nobody makes names up."""
    for _ in range(2):
        with budget(tier="platinum") as money, attributed.provider.get_tracer("t").start_as_current_span("inside"):
            assert money.limit_usd == D("1.50")
    assert [line for line in caplog.messages if "platinum" in line] == [
        "tier 'platinum' is not in CALLFARE_CONFIG: the tier 'standard' applies (logged once)"
    ]
    assert attributed.attributes[0][names.TIER] == "standard"


def test_an_amount_makes_the_tier_a_name() -> None:
    """As do tasks beside the tier's own."""
    assert budget("2.00", tier="quick").limit_usd == D("2.00")
    money = budget(per_task_usd={"review": "0.10"}, tier="quick")
    with money:
        for task in ("review", "analysis"):
            with pytest.raises(BudgetExceeded), money.reserve("0.31", task=task):
                pass


def test_nothing_to_go_by_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how to fix it."""
    with pytest.raises(TypeError, match="total_usd must be"):
        budget()
    monkeypatch.delenv("CALLFARE_CONFIG")
    with pytest.raises(ValueError, match="name a file with `tiers` in CALLFARE_CONFIG"):
        budget(tier="quick")
