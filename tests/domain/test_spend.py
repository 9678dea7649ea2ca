"""Who spent how much in which hour and day, as differences."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.rollup import HourlyKey, Measures, days_of, hourly_key, measures_of
from cost_exporter.domain.settling.settle import TraceFacts, settle
from cost_exporter.domain.spend import SpenderMeasures, spend_moves
from tests.domain.builders import call, key, price_by_sum

HOUR_MS = 3_600_000


def record(name: str, hour: int = 0, status: str = "priced", **words: str) -> CostRecord:
    attribution = Attribution(**words)  # pyright: ignore[reportArgumentType]
    one = call(name, start_ms=hour * HOUR_MS, end_ms=hour * HOUR_MS + 1, attribution=attribution)
    facts = TraceFacts(
        namespace="default", tenant_is_trusted=True, calls={key(name): one}, links={}, shared_keys=frozenset()
    )
    (found,) = settle(facts, price_by_sum).values()
    return replace(found, status=status)  # pyright: ignore[reportArgumentType]


def hours_of(added: list[CostRecord], taken: list[CostRecord]) -> dict[HourlyKey, Measures]:
    sums: dict[HourlyKey, Measures] = {}
    for each in added:
        sums[hourly_key(each)] = sums.get(hourly_key(each), Measures()).plus(measures_of(each))
    for each in taken:
        sums[hourly_key(each)] = sums.get(hourly_key(each), Measures()).minus(measures_of(each))
    return sums


records = st.builds(
    record,
    st.sampled_from("abc"),
    hour=st.integers(0, 30),
    status=st.sampled_from(["priced", "priced", "partial", "duplicate"]),
    user=st.sampled_from([None, "ann", "bob"]),
    api_key=st.sampled_from([None, "key-1"]),
    task=st.sampled_from([None, "answer"]),
    tier=st.sampled_from([None, "gold"]),
    category=st.sampled_from([None, "bot"]),
)


@given(st.lists(records, max_size=6), st.lists(records, max_size=6))
def test_moves_are_the_difference_of_the_sums(added: list[CostRecord], taken: list[CostRecord]) -> None:
    """Taking away what was added leaves nothing, and all grains of every kind move alike."""
    moves = spend_moves(hours_of(added, taken), added, taken)
    there, back = (spend_moves(hours_of(*pair), *pair) for pair in ((added, []), ([], taken)))
    for spend_key in moves.keys() | there.keys() | back.keys():
        parts = [each.get(spend_key, SpenderMeasures()) for each in (there, back)]
        expected = SpenderMeasures(*[one + other for one, other in zip(*parts, strict=True)])
        assert moves.get(spend_key, SpenderMeasures()) == expected
    assert spend_moves(hours_of(added, added), added, added) == {}
    for kind in ("user", "api_key", "task", "tier", "category", "provider"):
        hour, day, month = (
            [spend for each, spend in moves.items() if (each.kind, each.grain) == (kind, grain)]
            for grain in ("hour", "day", "month")
        )
        for name in SpenderMeasures._fields:
            sums = [sum(getattr(each, name) for each in part) for part in (hour, day, month)]
            assert sums == sums[:1] * 3


def test_a_move_between_hours_of_one_day_leaves_the_day_alone() -> None:
    """Only the hours move; a user who is named in neither has none."""
    before, now = record("a", hour=1), record("a", hour=2)
    hours = hours_of([now], [before])
    assert {(each.kind, each.grain) for each in spend_moves(hours, [now], [before])} == {
        ("category", "hour"),
        ("provider", "hour"),
    }
    assert days_of(hours) == {}


@pytest.mark.parametrize(
    ("moment", "month"),
    [
        ("1970-01-31T23", "1970-01-01"),
        ("2024-02-29T00", "2024-02-01"),
        ("2026-12-31T23", "2026-12-01"),
        ("2027-01-01T00", "2027-01-01"),
    ],
)
def test_a_month_is_that_of_the_calendar(moment: str, month: str) -> None:
    """In UTC, whatever its length."""
    hour, first = (
        int(datetime.fromisoformat(each).replace(tzinfo=UTC).timestamp()) // 3600 for each in (moment, month)
    )
    measures = Measures(cost_usd=Decimal(1), request_count=1)
    moves = spend_moves({HourlyKey("acme", hour, "bot", "openai", "gpt-4o", "chat"): measures}, [], [])
    assert {key.hour for key in moves if key.grain == "month"} == {first}


def test_days_are_sums_of_their_hours() -> None:
    """Hours 23 and 24 are two days, 1 and 2 are one."""
    days = days_of(hours_of([record("a", hour=hour) for hour in (-1, 0, 1)], []))
    assert len(days) == 2 or {measures.request_count for measures in days.values()} == {3}
    assert sum(measures.request_count for measures in days.values()) == 3
