"""Who spent how much in which hour and day, as differences."""

from dataclasses import replace
from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.rollup import HourlyKey, Measures, days_of, hourly_key, measures_of
from cost_exporter.domain.settling.settle import TraceFacts, settle
from cost_exporter.domain.spend import Spend, spend_moves
from tests.domain.builders import call, key, price_by_sum

HOUR_MS = 3_600_000


def record(name: str, hour: int = 0, status: str = "priced", **words: str) -> CostRecord:
    said = Attribution(**words)  # pyright: ignore[reportArgumentType]
    one = call(name, start_ms=hour * HOUR_MS, end_ms=hour * HOUR_MS + 1, attribution=said)
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
    category=st.sampled_from([None, "bot"]),
)


@given(st.lists(records, max_size=6), st.lists(records, max_size=6))
def test_moves_are_the_difference_of_the_sums(added: list[CostRecord], taken: list[CostRecord]) -> None:
    """Taking away what was added leaves nothing, and both grains of every kind move alike."""
    moves = spend_moves(hours_of(added, taken), added, taken)
    there, back = (spend_moves(hours_of(*pair), *pair) for pair in ((added, []), ([], taken)))
    for spend_key in moves.keys() | there.keys() | back.keys():
        parts = [each.get(spend_key, Spend()) for each in (there, back)]
        expected = Spend(
            cost_usd=parts[0].cost_usd + parts[1].cost_usd,
            request_count=parts[0].request_count + parts[1].request_count,
            unpriced_count=parts[0].unpriced_count + parts[1].unpriced_count,
        )
        assert moves.get(spend_key, Spend()) == expected
    assert spend_moves(hours_of(added, added), added, added) == {}
    for kind in ("user", "api_key", "category", "provider"):
        hour, day = (
            sum((spend.cost_usd for each, spend in moves.items() if (each.kind, each.grain) == (kind, grain)), D(0))
            for grain in ("hour", "day")
        )
        assert hour == day


def test_a_move_between_hours_of_one_day_leaves_the_day_alone() -> None:
    """Only the hours move; a user who is named in neither has none."""
    before, now = record("a", hour=1), record("a", hour=2)
    hours = hours_of([now], [before])
    assert {(each.kind, each.grain) for each in spend_moves(hours, [now], [before])} == {
        ("category", "hour"),
        ("provider", "hour"),
    }
    assert days_of(hours) == {}


def test_days_are_sums_of_their_hours() -> None:
    """Hours 23 and 24 are two days, 1 and 2 are one."""
    days = days_of(hours_of([record("a", hour=hour) for hour in (-1, 0, 1)], []))
    assert len(days) == 2 or {measures.request_count for measures in days.values()} == {3}
    assert sum(measures.request_count for measures in days.values()) == 3
