from datetime import UTC, date, datetime
from decimal import Decimal as D

from cost_exporter.report.spend import spend_of

SINCE, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
ROWS = [
    {"day": date(2026, 3, 1), "model": "nova-2", "cost_usd": D("0.1"), "unpriced_count": 0},
    {"day": date(2026, 3, 2), "model": None, "cost_usd": D("0.20"), "unpriced_count": 2},
    {"day": date(2026, 3, 3), "model": "gone", "cost_usd": None, "unpriced_count": 1},
]


def test_spend_has_the_shape_of_the_contract() -> None:
    """Money is a string, the dimensions stand under their SQL names, unknowns are counted."""
    spend = spend_of(ROWS, since=SINCE, until=UNTIL, columns=("day", "model"))
    assert spend.as_json() == {
        "total_cost_usd": "0.3",
        "unpriced_count": 3,
        "groups": [
            {"day": "2026-03-01", "model": "nova-2", "cost_usd": "0.1", "unpriced_count": 0},
            {"day": "2026-03-02", "model": None, "cost_usd": "0.2", "unpriced_count": 2},
            {"day": "2026-03-03", "model": "gone", "cost_usd": "0", "unpriced_count": 1},
        ],
    }


def test_spend_total_is_the_exact_sum_of_its_groups() -> None:
    """The total is the sum to the last digit, and reads as a lower bound where something is unknown."""
    rows = [{"cost_usd": D("0.000000000001"), "unpriced_count": 0}, {"cost_usd": D(10) ** 11, "unpriced_count": 1}]
    spend = spend_of(rows, since=SINCE, until=UNTIL, columns=())
    assert spend.total_cost_usd == D("100000000000.000000000001")
    assert spend.sheet().total == "total ≥ $100000000000.000000000001 (1 unpriced)"


def test_spend_of_nothing_is_zero() -> None:
    """A period without calls cost nothing, with no unknowns."""
    spend = spend_of([], since=SINCE, until=UNTIL, columns=("model",))
    assert spend.as_json() == {"total_cost_usd": "0", "unpriced_count": 0, "groups": []}


def test_sheet_shows_the_same_figures() -> None:
    """The sheet's cells are the JSON's figures."""
    sheet = spend_of(ROWS, since=SINCE, until=UNTIL, columns=("day", "model")).sheet()
    assert sheet.columns == ("day", "model", "cost_usd", "unpriced_count")
    assert sheet.rows == (
        ("2026-03-01", "nova-2", "0.1", "0"),
        ("2026-03-02", "", "0.2", "2"),
        ("2026-03-03", "gone", "0", "1"),
    )
