from datetime import UTC, datetime
from decimal import Decimal as D

from cost_exporter.report.comparison import ComparedSpend, compared
from cost_exporter.report.forms import csv_form
from cost_exporter.report.spend import Spend, spend_of
from tests.report.test_spend import row

FEBRUARY, MARCH, APRIL = (datetime(2026, month, 1, tzinfo=UTC) for month in (2, 3, 4))


def both() -> ComparedSpend:
    now = [row("0.30", model="a"), row("0.2", model="b", unpriced_count=1), row("0.5", model="new")]
    then = [
        row("0.10", model="a"),
        row("0.7", model="b"),
        row("0.4", model="gone"),
        row(None, model="x", unpriced_count=1),
    ]
    return compared(
        spend_of(now, since=MARCH, until=APRIL, columns=("model",)),
        spend_of(then, since=FEBRUARY, until=MARCH, columns=("model",)),
    )


def test_each_group_stands_beside_what_it_cost_before() -> None:
    """The change is exact; where a cost is a bound there is none; a group of one period alone cost 0 in the other."""
    groups = {group["model"]: group for group in both().as_json()["groups"]}
    changes = {model: (group["previous_cost_usd"], group["change_usd"]) for model, group in groups.items()}
    assert changes == {
        "a": ("0.1", "0.2"),
        "b": ("0.7", None),
        "new": ("0", "0.5"),
        "gone": ("0.4", "-0.4"),
        "x": (None, None),
    }
    assert both().as_json()["total_cost_usd"] == "1"
    assert both().as_json()["previous_total_cost_usd"] == "1.2"
    assert both().as_json()["previous_unpriced_count"] == 1


def test_the_table_shows_both_and_the_direction() -> None:
    """A rise has its sign, an unknown change a dash."""
    sheet = both().ordered("cost", 3).table(2)
    assert sheet.columns[:4] == ("model", "cost", "previous", "change")
    assert [cells[:4] for cells in sheet.rows] == [
        ("new", "$0.50", "$0.00", "+$0.50"),
        ("a", "$0.30", "$0.10", "+$0.20"),
        ("b", "≥ $0.20", "$0.70", "-"),
    ]
    assert sheet.total == "total ≥ $1.00 (1 unpriced), with 2 more groups; from 2026-02-01: ≥ $1.20 (1 unpriced)"


def test_csv_has_the_comparison_in_columns_of_its_own() -> None:
    """Added at the end: who reads the first columns reads on."""
    assert csv_form(both().rows()).splitlines()[1].endswith(",0.1,false,0.2")


def test_a_list_that_is_cut_keeps_its_total() -> None:
    """Whatever is left out is in the total, and said to be."""
    rows = [row("1", model="a"), row("3", model="b"), row(None, model="c", unpriced_count=1)]
    spend: Spend = spend_of(rows, since=MARCH, until=APRIL, columns=("model",)).ordered("cost", 1)
    body = spend.as_json()
    assert [group["model"] for group in body["groups"]] == ["b"]
    assert (body["total_cost_usd"], body["unpriced_count"], body["omitted_group_count"]) == ("4", 1, 2)
    assert spend.total_cost_usd == D(4)
    by_unpriced = spend_of(rows, since=MARCH, until=APRIL, columns=("model",)).ordered("unpriced", None)
    assert by_unpriced.groups[0].keys == ("c",)
