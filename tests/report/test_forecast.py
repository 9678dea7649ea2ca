from datetime import date
from decimal import Decimal as D

from cost_exporter.report.forecast import forecast_of

TODAY = date(2026, 11, 10)


def days(**costs: str) -> dict[date, D]:
    return {date(2026, int(name[1:3]), int(name[4:])): D(cost) for name, cost in costs.items()}


def test_a_month_is_what_it_cost_so_far_and_its_remaining_days_at_the_mean_of_a_week() -> None:
    """$1 on each of seven days and $2 today: 20 days are left, and the range is that of the days."""
    costs = {date(2026, 11, day): D(1) for day in range(3, 10)} | {TODAY: D(2), date(2026, 11, 9): D(8)}
    forecast = forecast_of(costs, TODAY)
    assert forecast is not None
    assert (forecast.full_days, forecast.remaining_days) == (7, 20)
    assert forecast.expected_usd == D(16) + 20 * D(2)
    assert (forecast.lowest_usd, forecast.highest_usd) == (D(16) + 20 * D(1), D(16) + 20 * D(8))
    assert forecast.as_json()["expected_usd"] == "56"


def test_two_days_make_no_forecast_and_three_do() -> None:
    """Today is no full day; a day without spend between two others is one that cost nothing."""
    assert forecast_of(days(m11d08="1", m11d09="1", m11d10="5"), TODAY) is None
    forecast = forecast_of(days(m11d07="3", m11d09="3"), TODAY)
    assert forecast is not None
    assert (forecast.full_days, forecast.lowest_usd, forecast.expected_usd) == (3, D(6), D(6) + 20 * D(2))


def test_days_of_the_month_before_count_as_full_days_and_not_as_spent() -> None:
    """On the first of a month the week before it says what a day costs."""
    forecast = forecast_of({date(2026, 10, day): D(1) for day in range(20, 32)}, date(2026, 11, 1))
    assert forecast is not None
    assert forecast.expected_usd == D(29)


def test_a_mean_that_does_not_end_is_rounded_to_the_places_of_a_line() -> None:
    """Thirds are cut at 12 places."""
    forecast = forecast_of(days(m11d07="1", m11d08="1", m11d09="0"), TODAY)
    assert forecast is not None
    assert forecast.expected_usd == D("15.333333333333")
