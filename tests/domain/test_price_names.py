"""Which names of a call are priced, in which order, and what each makes of the figure."""

from decimal import Decimal as D

import pytest

from cost_exporter.domain import Factor, ModelAlias, PriceBook, PriceRow
from cost_exporter.domain.pricing.book import PriceRows
from cost_exporter.domain.pricing.names import names_to_try
from tests.domain.small_book import row, usage


@pytest.mark.parametrize(
    ("provider", "model", "request_model", "names"),
    [
        ("acme", "nova", "", ["nova"]),
        ("acme", "nova", "nova", ["nova"]),
        ("acme", "nova", "star", ["nova", "star"]),
        ("acme", " ", "star", ["star"]),
        ("acme", "", "", []),
        ("acme", "nova:nitro", "", ["nova:nitro"]),
        ("openrouter", "nova:nitro", "star:FLOOR", ["nova:nitro", "nova", "star:FLOOR", "star"]),
        ("openrouter", "nova:unknown", "", ["nova:unknown"]),
        ("openrouter", "nova", "star:free", ["nova"]),
        ("openrouter", "", "star:free", ["star:free"]),
    ],
)
def test_order_of_names(provider: str, model: str, request_model: str, names: list[str]) -> None:
    """The response model, then without its route, then the requested model; each but the first with a reason."""
    tried = list(names_to_try(provider, model, request_model))
    assert [name for name, _ in tried] == names
    assert [name for name, reason in tried if not reason] == ([model] if model.strip() else [])


def test_a_profile_without_a_price_of_its_own_is_an_estimate() -> None:
    """At Bedrock the price depends on the region; an operator's price holds wherever he says."""
    home = PriceRow(provider="aws", model="amazon.nova", unit="input_tokens", price_usd=D(1))
    alias = ModelAlias(provider="aws", name=r".*amazon\.nova", match="regex", model="amazon.nova")
    eu = PriceRow(provider="aws", model="eu[.]amazon[.]nova", match="regex", unit="input_tokens", price_usd=D(2))
    regional = PriceRow(provider="aws", model="regional.amazon.nova", unit="input_tokens", price_usd=D(3))
    own = PriceRow(provider="aws", model="amazon.nova", unit="input_tokens", price_usd=D(4), book="operator")
    counts = {"input_tokens": 1}

    def status(*rows: PriceRow, model: str = "eu.amazon.nova") -> str:
        aliases = (
            [alias]
            if regional not in rows
            else [ModelAlias(provider="aws", name=r"eu\.amazon\.nova", match="regex", model="regional.amazon.nova")]
        )
        book = PriceBook([PriceRows(rows, aliases)])
        return book.price(usage(counts, provider="aws", model=model)).status

    assert status(home) == "estimated"
    assert status(home, model="us.amazon.nova") == "priced"
    assert status(home, eu) == "priced"
    assert status(regional) == "priced"
    assert status(own) == "priced"


def test_a_variant_is_another_model() -> None:
    """A pattern that does not speak of it does not match it; the name of a fine-tune is its owner's."""
    aliases = [
        ModelAlias(provider="acme", name="nova(-.*)?", match="regex", model="nova"),
        ModelAlias(provider="acme", name="star-mini(-.*)?", match="regex", model="nova"),
        ModelAlias(provider="acme", name="ft:nova:.*", match="regex", model="nova"),
    ]
    book = PriceBook([PriceRows([row("characters", "1")], aliases)])
    counts = {"characters": 1}
    known = {"nova-2": True, "nova-mini": False, "nova-distill-8b": False, "star-mini-2": True, "ft:nova:pro": True}
    for model, is_known in known.items():
        assert (book.price(usage(counts, model=model)).status == "priced") is is_known, model


def test_lists_of_last_resort() -> None:
    """The curated list, then the imported one, then the second imported one; a factor is on what they say."""
    rows = [
        row("characters", "3", is_imported=True, is_secondary=True),
        row("characters", "2", is_imported=True),
        row("characters", "1"),
    ]
    counts = {"characters": 1_000_000}
    prices = [PriceBook.of(rows[:end]).price(usage(counts)) for end in (1, 2, 3)]
    assert [quote.amount_usd for quote in prices] == [D(3), D(2), D(1)]
    assert [quote.lines[0].price_id.partition("/")[0] for quote in prices] == ["list.voice", "list.imported", "list"]
    half = PriceBook([PriceRows(rows[:1])], factors=[Factor(book="operator", factor=D("0.5"))])
    assert half.price(usage(counts)).amount_usd == D("1.5")


def test_no_price_without_a_name() -> None:
    """Whatever a pattern says."""
    book = PriceBook.of([row("characters", "1", model=".*", match="regex")])
    assert book.price(usage({"characters": 1}, model="", request_model="")).status == "unpriced"
    assert book.price(usage({"characters": 1}, model="x")).status == "priced"
    assert book.prices_of("acme").candidates("acme", " ") == []
