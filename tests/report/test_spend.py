import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

from cost_exporter.report.forms import csv_form, markdown_form, table_form
from cost_exporter.report.spend import spend_of

SINCE, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
NOTHING = {"request_count": 0, "total_tokens": 0, "audio_seconds": D(0), "call_seconds": D(0), "characters": 0}


def row(cost_usd: str | None, **changed: Any) -> dict[str, Any]:
    known = None if cost_usd is None else D(cost_usd)
    return {"cost_usd": known, "unpriced_count": 0, **NOTHING, "request_count": 1, **changed}


ROWS = [
    row("0.1", day=date(2026, 3, 1), model="nova-2", audio_seconds=D("12.5")),
    row("0.20", day=date(2026, 3, 2), model=None, unpriced_count=2, request_count=5, total_tokens=1546),
    row(None, day=date(2026, 3, 3), model="gone", unpriced_count=1),
]


def test_spend_has_the_shape_of_the_contract() -> None:
    """Money is a string, an unknown cost null, a partly known one marked; what was paid for stands beside it."""
    spend = spend_of(ROWS, since=SINCE, until=UNTIL, columns=("day", "model"))
    nothing = {**NOTHING, "audio_seconds": "0", "call_seconds": "0"}
    assert spend.as_json() == {
        "total_cost_usd": "0.3",
        "unpriced_count": 3,
        "groups": [
            {
                "day": "2026-03-01",
                "model": "nova-2",
                "cost_usd": "0.1",
                "unpriced_count": 0,
                "cost_is_lower_bound": False,
                **nothing,
                "request_count": 1,
                "audio_seconds": "12.5",
            },
            {
                "day": "2026-03-02",
                "model": None,
                "cost_usd": "0.2",
                "unpriced_count": 2,
                "cost_is_lower_bound": True,
                **nothing,
                "request_count": 5,
                "total_tokens": 1546,
            },
            {
                "day": "2026-03-03",
                "model": "gone",
                "cost_usd": None,
                "unpriced_count": 1,
                "cost_is_lower_bound": True,
                **nothing,
                "request_count": 1,
            },
        ],
    }


def test_spend_total_is_the_exact_sum_of_its_groups() -> None:
    """The total is the sum to the last digit, and reads as a lower bound where something is unknown."""
    rows = [row("0.000000000001"), row("100000000000", unpriced_count=1)]
    spend = spend_of(rows, since=SINCE, until=UNTIL, columns=())
    assert spend.total_cost_usd == D("100000000000.000000000001")
    assert spend.table().total == "total ≥ $100000000000.000000000001 (1 unpriced)"


def test_spend_of_nothing_is_zero() -> None:
    """A period without calls cost nothing, with no unknowns."""
    spend = spend_of([], since=SINCE, until=UNTIL, columns=("model",))
    assert spend.as_json() == {"total_cost_usd": "0", "unpriced_count": 0, "groups": []}
    assert "total $0" in table_form(spend.table(), width=80)


def test_a_free_group_is_no_unknown_one() -> None:
    """Free is a price of 0: its cost is known."""
    (group,) = spend_of([row("0")], since=SINCE, until=UNTIL, columns=()).as_json()["groups"]
    assert (group["cost_usd"], group["cost_is_lower_bound"]) == ("0", False)


def test_table_and_markdown_show_a_dash_or_a_bound() -> None:
    """What is not known is a dash, what is known in part is at least so much."""
    spend = spend_of(ROWS, since=SINCE, until=UNTIL, columns=("day", "model"))
    assert [cells[2] for cells in spend.table().rows] == ["$0.1", "≥ $0.2", "-"]
    assert [cells[2] for cells in spend.table(2).rows] == ["$0.10", "≥ $0.20", "-"]
    assert "| 2026\\-03" not in markdown_form(spend.table())
    assert "| gone | - | 1 |" in markdown_form(spend.table())


def test_csv_has_the_columns_of_sql_and_an_empty_cell_for_unknown() -> None:
    """A spreadsheet that adds up the column adds no invented zero, and every digit is there."""
    spend = spend_of(ROWS, since=SINCE, until=UNTIL, columns=("day", "model"))
    header, *rows = csv.reader(io.StringIO(csv_form(spend.rows())))
    assert header == list(spend.as_json()["groups"][0])
    assert [cells[2:6] for cells in rows] == [
        ["0.1", "0", "false", "1"],
        ["0.2", "2", "true", "5"],
        ["", "1", "true", "1"],
    ]
