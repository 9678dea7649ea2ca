from decimal import Decimal as D
from typing import Any

from cost_exporter.report.margin import margin_lines


def workflow(**changed: Any) -> dict[str, Any]:
    return {
        "by_category": {"insights": D("0.01"), "bot": D("0.02")},
        "unpriced_count": 0,
        "revenue_usd": None,
        "fee_usd": None,
        "profit_usd": None,
        **changed,
    }


EARNING = {"revenue_usd": D("4.99"), "fee_usd": D("0.44471"), "profit_usd": D("4.99") - D("0.44471") - D("0.03")}


def test_categories_come_by_name_and_without_revenue_nothing_else() -> None:
    """A workflow that earns nothing has no fee and no profit."""
    assert margin_lines(workflow(), []) == ["  category bot       $0.02", "  category insights  $0.01"]


def test_profit_is_what_revenue_leaves_after_fee_and_cost() -> None:
    """Revenue, fee and profit follow the categories, exact to the last digit."""
    assert margin_lines(workflow(**EARNING), [])[2:] == [
        "  revenue            $4.99",
        "  payment fee        $0.44471",
        "  profit             $4.51529",
    ]


def test_a_fee_without_a_rule_is_not_known() -> None:
    """No rule is no fee of $0: what is left is at most revenue less cost."""
    lines = margin_lines(workflow(**EARNING | {"fee_usd": None, "profit_usd": D("4.99") - D("0.03")}), [])
    assert lines[3:] == ["  payment fee        - (no fee rule)", "  profit             ≤ $4.96"]


def test_a_category_of_which_nothing_is_known_has_no_cost() -> None:
    """A dash, never $0, with how many calls it is that are not priced."""
    lost = {"category": "bot", "status": "unpriced", "cost_usd": None}
    assert margin_lines(workflow(by_category={"bot": None}, unpriced_count=1), [lost]) == [
        "  category bot  - (1 unpriced)"
    ]


def test_an_unknown_cost_makes_bounds() -> None:
    """The category of the unknown call is a lower bound, the profit an upper one; duplicates are no unknown cost."""
    lost = {"category": "bot", "status": "no_usage", "cost_usd": None}
    double = {"category": "insights", "status": "duplicate", "cost_usd": None}
    lines = margin_lines(workflow(unpriced_count=1, **EARNING), [lost, double])
    assert lines[:2] == ["  category bot       ≥ $0.02 (1 unpriced)", "  category insights  $0.01"]
    assert lines[-1] == "  profit             ≤ $4.51529"


def test_a_workflow_without_categories_has_no_lines() -> None:
    """A trace whose calls are all unknown to a category map prints nothing below its table."""
    assert margin_lines(workflow(by_category=None), []) == []
