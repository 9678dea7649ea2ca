"""Lists of prices, of unpriced calls and of workflows, as the API and the pages show them."""

from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any

import pytest
import yaml

from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.pricing.rows import PriceRow
from cost_exporter.report.price_list import listed_prices, searched_prices
from cost_exporter.report.unpriced import missing_units, nearest_model, price_rows_to_fill_in
from cost_exporter.report.workflow_list import cost_per_minute_usd


def price(**changed: Any) -> PriceRow:
    given = {
        "provider": "openai",
        "model": "gpt-4o",
        "unit": "input_tokens",
        "price_usd": D("2.5"),
        "per": D(1_000_000),
    }
    return PriceRow(**(given | changed))


def test_prices_are_found_by_all_words() -> None:
    """In provider, model, unit and book, in any order and case."""
    rows = [price(), price(unit="output_tokens"), price(provider="azure")]
    assert [each.row.unit for each in searched_prices(listed_prices(rows), "OUTPUT openai")] == ["output_tokens"]
    assert len(searched_prices(listed_prices(rows), "")) == 3


def test_only_another_price_of_the_same_is_a_disagreement() -> None:
    """The same price for another quantity is the same price; one that no longer holds disagrees with nobody."""
    ours, theirs = price(), price(is_imported=True, price_usd=D("0.003"), per=D(1_000))
    same = price(is_imported=True, price_usd=D("0.0025"), per=D(1_000))
    past = price(is_imported=True, price_usd=D(9), valid_to_unix_ns=0)
    assert [each.disagrees_with for each in listed_prices([ours, theirs])] == [(theirs,), (ours,)]
    assert searched_prices(listed_prices([ours, same]), "", only_disagreeing=True) == []
    assert searched_prices(listed_prices([price(valid_from_unix_ns=0), past]), "", only_disagreeing=True) == []


@pytest.mark.parametrize("model", ["house-1", "a: b", 'quo"te', "yes", "1.5", "back\\slash", "- x", "#c", "\u202ex"])
def test_rows_to_fill_in_are_a_price_file_but_for_the_price(model: str) -> None:
    """Whatever the model is called, YAML reads its name back; what is invisible is an escape."""
    row = {"provider": "openai", "model": model, "usage": {"input_tokens": 7, "calls": 1}}
    text = price_rows_to_fill_in(row | {"first_seen_at": datetime(2026, 11, 2, 8, tzinfo=UTC)})
    (filled,) = yaml.safe_load(text)["prices"]
    assert filled["model"] == model
    assert (filled["unit"], filled["price"], filled["per"]) == ("input_tokens", "?", "1000000")
    assert "\u202e" not in text


def test_missing_units_and_the_nearest_model() -> None:
    """What costs nothing by nature is not missing; a similar name of the same provider is a hint."""
    row = {"provider": "openai", "model": "gpt-4p", "usage": {"input_tokens": 7, "output_tokens": 0, "calls": 1}}
    assert missing_units(row) == ["input_tokens"]
    assert nearest_model(row, PriceBook.of([price()])) == "gpt-4o"
    assert nearest_model(row | {"provider": "nobody"}, PriceBook.of([price()])) is None
    assert nearest_model(row | {"model": ""}, PriceBook.of([price()])) is None


def test_a_minute_is_one_of_the_call_or_else_of_the_workflow() -> None:
    """Nothing priced, or no time, has no cost of a minute."""
    row = {"total_cost_usd": D("0.3"), "unpriced_count": 0, "request_count": 2, "call_seconds": D(90)}
    assert cost_per_minute_usd(row | {"duration_seconds": D(600)}) == D("0.2")
    assert cost_per_minute_usd(row | {"call_seconds": D(0), "duration_seconds": D(30)}) == D("0.6")
    assert cost_per_minute_usd(row | {"call_seconds": D(0), "duration_seconds": None}) is None
    unknown = row | {"total_cost_usd": D(0), "unpriced_count": 2, "duration_seconds": D(1)}
    assert cost_per_minute_usd(unknown) is None
