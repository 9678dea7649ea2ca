"""Our figures beside a provider's: each outcome, its cause, and the tolerance of the provider's last digit."""

from datetime import date, timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from cost_exporter.invoices.compare import Ours, compare
from cost_exporter.invoices.stated import Stated, figure_of

DAY = date(2026, 9, 21)
MINI = "gpt-4o-mini-2024-07-18"


def ours(model: str = MINI, cost_usd: str | None = "0.5", tokens: int = 100, **fields: Any) -> Ours:
    given: dict[str, Any] = {"day": DAY, "operation": "chat", "request_count": 1, "unpriced_count": 0}
    cost = None if cost_usd is None else D(cost_usd)
    return Ours(model=model, cost_usd=cost, quantities={"input_tokens": D(tokens)}, **(given | fields))


def theirs(model: str = MINI, cost: Any = None, tokens: int | None = 100, **fields: Any) -> Stated:
    quantities = {} if tokens is None else {"input_tokens": figure_of(tokens, "tokens")}
    cost_usd = None if cost is None else figure_of(cost, "cost")
    given: dict[str, Any] = {"day": DAY, "label": model, "model": model}
    return Stated(quantities=quantities, cost_usd=cost_usd, **(given | fields))


def outcome(mine: list[Ours], stated: list[Stated]) -> list[tuple[str, str]]:
    return [(each.name, each.outcome) for each in compare(mine, stated)]


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ("0.5", "matched"),
        ("0.50", "matched"),
        ("0.6", "price differs"),
        (D("0.500000000000000044"), "matched"),
        (D("0.5000001"), "price differs"),
        (1, "price differs"),
    ],
)
def test_money_matches_within_half_a_unit_of_the_last_digit(cost: Any, expected: str) -> None:
    """Of text its digits count; of a JSON number those that a binary number keeps; a whole number is exact."""
    assert outcome([ours()], [theirs(cost=cost)]) == [(MINI, expected)]


@pytest.mark.parametrize(("stated", "expected"), [("0.12", "matched"), ("0.13", "price differs")])
def test_half_a_unit_is_the_limit(stated: str, expected: str) -> None:
    """0.125 is stated as 0.12 or 0.13; 0.1249 is not 0.13."""
    assert outcome([ours(cost_usd="0.1249")], [theirs(cost=stated)]) == [(MINI, expected)]


def test_several_figures_of_a_day_are_one() -> None:
    """Tokens of one API and line items of the other, each with its own rounding."""
    stated = [theirs(cost=None), theirs(cost="0.2", tokens=None), theirs(cost="0.33", tokens=None)]
    assert outcome([ours()], stated) == [(MINI, "matched")]


@pytest.mark.parametrize(
    ("mine", "stated", "expected", "cause"),
    [
        ([], [theirs()], "missing spans", "not instrumented"),
        ([ours(tokens=90)], [theirs()], "missing spans", "10 input_tokens off"),
        ([ours(tokens=110)], [theirs()], "extra spans", "another account"),
        ([ours()], [], "extra spans", "do not have this model"),
        ([ours(cost_usd=None, unpriced_count=1)], [theirs(cost="0.5")], "price differs", "load a price"),
        ([ours(unpriced_count=1)], [theirs(cost="0.5")], "price differs", "load a price"),
        ([ours()], [theirs(cost="0.39")], "price differs", "0.7800 of ours"),
        ([ours(cost_usd="0")], [theirs(cost="0.39")], "price differs", "more than 0 of ours"),
    ],
)
def test_what_differs_has_its_probable_cause(mine: list[Ours], stated: list[Stated], expected: str, cause: str) -> None:
    """An unknown cost never matches."""
    (finding,) = compare(mine, stated)
    assert finding.outcome == expected
    assert cause in finding.cause


def test_what_cannot_be_mapped_is_shown() -> None:
    """With its money, beside what is compared."""
    stated = [theirs(), theirs("vector store", cost="1.5", tokens=None, is_mapped=False)]
    found = compare([ours()], stated)
    assert [(each.name, each.outcome, each.their_cost_usd) for each in found] == [
        (MINI, "matched", None),
        ("vector store", "not mappable", D("1.5")),
    ]


def test_calls_around_midnight_are_one_cause() -> None:
    """What one day has too much the next one lacks."""
    tomorrow = DAY + timedelta(days=1)
    mine = [ours(tokens=110), ours(tokens=90, day=tomorrow)]
    found = compare(mine, [theirs(), theirs(day=tomorrow)])
    assert all("around midnight" in each.cause for each in found)


@pytest.mark.parametrize(
    ("our_name", "their_name", "expected"),
    [
        ("gpt-4o-mini", MINI, "matched"),
        (MINI, "gpt-4o-mini", "matched"),
        ("gpt-4o-mini", "gpt-4o", "missing spans"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06", "missing spans"),
    ],
)
def test_a_date_at_the_end_is_no_other_model(our_name: str, their_name: str, expected: str) -> None:
    """Unless both have one, and they differ."""
    assert expected in {each.outcome for each in compare([ours(our_name)], [theirs(their_name)])}


def test_what_states_no_model_is_compared_by_operation() -> None:
    """Twilio's calls, Deepgram's hours: all of our models together."""
    mine = [ours("a", operation="phone_call", tokens=60), ours("b", operation="phone_call", tokens=40), ours("c")]
    found = outcome(mine, [theirs("", label="calls", operation="phone_call")])
    assert sorted(found) == [("c", "extra spans"), ("phone_call", "matched")]
