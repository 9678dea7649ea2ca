"""Price rows: windows, context tiers, conditions, and how a row is named."""

from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from cost_exporter.domain.pricing.rows import (
    ContextTier,
    PriceRow,
    Window,
    instant_text,
    required_conditions,
    stated_conditions,
)


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-20T21:59", False),  # Friday
        ("2026-11-20T22:00", True),
        ("2026-11-21T01:59", True),  # belongs to Friday's range
        ("2026-11-21T02:00", False),
        ("2026-11-21T22:30", False),  # Saturday has none
        ("2026-11-22T01:00", False),
    ],
)
def test_window_past_midnight_belongs_to_its_first_day(at: str, is_open: bool) -> None:
    """A range that passes midnight on a Friday goes on into Saturday."""
    window = Window(weekdays=frozenset({4}), minutes=((22 * 60, 2 * 60),))
    assert window.is_open(ns(at)) is is_open


def test_window_of_whole_days() -> None:
    """Without hours a window is open all day."""
    weekend = Window(weekdays=frozenset({5, 6}))
    assert [weekend.is_open(ns(f"2026-11-{day}T00:00")) for day in (20, 21, 22, 23)] == [False, True, True, False]
    assert str(weekend) == "sat,sun 00:00-24:00"
    assert str(Window(minutes=((60, 240),))) == "01:00-04:00"


def test_window_before_1970() -> None:
    """Weekdays are right on both sides of the epoch: 1969-12-31 was a Wednesday."""
    assert Window(weekdays=frozenset({2})).is_open(-1)


def test_context_tier_bounds() -> None:
    """The threshold itself is beyond only where the provider says so."""
    assert [ContextTier(above=10).is_reached(n) for n in (9, 10, 11)] == [False, False, True]
    assert [ContextTier(above=10, is_inclusive=True).is_reached(n) for n in (9, 10, 11)] == [False, True, True]


@pytest.mark.parametrize(
    ("conditions", "stated"),
    [
        ({}, {"mode": "", "service_tier": "standard", "speed": ""}),
        ({"service_tier": "Default"}, {"mode": "", "service_tier": "standard", "speed": ""}),
        ({"service_tier": "batch"}, {"mode": "batch", "service_tier": "standard", "speed": ""}),
        ({"mode": "Streaming", "speed": "normal"}, {"mode": "stream", "service_tier": "standard", "speed": ""}),
        ({"service_tier": "Flex", "speed": "fast"}, {"mode": "", "service_tier": "flex", "speed": "fast"}),
    ],
)
def test_conditions_have_one_wording(conditions: dict[str, str], stated: dict[str, str]) -> None:
    """However a condition is worded, it is compared in one wording."""
    assert {name: stated_conditions(conditions)[name] for name in stated} == stated


def test_required_conditions_are_only_those_said() -> None:
    """A row without conditions requires none; batch is a mode."""
    assert required_conditions({}) == ()
    assert required_conditions({"service_tier": "batch"}) == (("mode", "batch"),)
    assert required_conditions({"service_tier": "default"}) == (("service_tier", "standard"),)
    assert required_conditions({"speed": "fast", "mode": "stream"}) == (("mode", "stream"), ("speed", "fast"))


def test_price_id_names_everything_that_tells_rows_apart() -> None:
    """Book, provider, model, unit, conditions and validity are in the name."""
    row = PriceRow(
        provider="acme",
        model="nova",
        match="prefix",
        unit="input_tokens",
        price_usd=D("0.10"),
        per=D(1000),
        book="tenant:t",
        when=(("mode", "batch"),),
        context_tier=ContextTier(above=5, is_inclusive=True),
        window=Window(weekdays=frozenset({0})),
        valid_from_unix_ns=ns("2026-01-01T00:00"),
        valid_to_unix_ns=ns("2026-02-01T12:30"),
    )
    assert row.price_id == (
        "tenant:t/acme/prefix:nova/input_tokens?mode=batch&input_tokens>=5&mon 00:00-24:00"
        "@2026-01-01..2026-02-01T12:30:00Z"
    )
    assert str(row).endswith(" = $0.1 per 1000")
    assert instant_text(ns("2026-02-01T12:30")) == "2026-02-01T12:30:00Z"
