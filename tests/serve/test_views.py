from datetime import UTC, date, datetime
from decimal import Decimal as D

import pytest

from cost_exporter.report.spend import Spend, spend_of
from cost_exporter.serve.pages.figures import figure
from cost_exporter.serve.views import costs_body

TODAY = date(2026, 11, 10)


def by_day(*costs: tuple[int, str]) -> Spend:
    counts = {"unpriced_count": 0, "request_count": 1, "total_tokens": 0, "characters": 0}
    seconds = {"audio_seconds": D(0), "call_seconds": D(0)}
    rows = [{"day": date(2026, 11, day), "cost_usd": D(cost), **counts, **seconds} for day, cost in costs]
    since, until = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    return spend_of(rows, since=since, until=until, columns=("day",))


def test_month_is_projected_from_the_days_so_far() -> None:
    """Ten days cost $20, so thirty days come to $60; days to come are not averaged in."""
    body = costs_body(by_day((1, "5"), (10, "15")), by_day((1, "5"), (10, "15")), TODAY)
    assert body["average_daily_cost"] == "2"
    assert body["projected_monthly_cost"] == "60"


def test_nothing_spent_projects_to_nothing() -> None:
    """Without spend all figures are 0."""
    body = costs_body(by_day(), by_day(), TODAY)
    assert (body["average_daily_cost"], body["projected_monthly_cost"], body["total_cost_usd"]) == ("0", "0", "0")


@pytest.mark.parametrize(
    ("cost", "shown"),
    [("0", "$0.00"), ("1234.5", "$1,234.50"), ("0.5", "$0.50"), ("0.00012345", "$0.0001234"), ("-2.5", "-$2.50")],
)
def test_figure_shows_what_a_person_reads_and_holds_every_digit(cost: str, shown: str) -> None:
    """A small amount keeps four digits, a large one its cents; the exact figure stands in `value`."""
    assert f'<data value="{cost}">{shown}</data>' in figure(D(cost))
