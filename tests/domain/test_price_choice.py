"""Which row prices a usage: order of books, overrides, factors, conditions, dates, aliases."""

from decimal import Decimal as D

import pytest

from cost_exporter.domain import Factor, ModelAlias, PriceBook
from cost_exporter.domain.pricing.book import PriceRows
from cost_exporter.domain.pricing.rows import ContextTier, Window
from tests.domain.small_book import DAY, LIST, NOON, RATES, M, amounts, row, rows, usage

# Precedence


@pytest.mark.parametrize(
    ("who", "price_in"),
    [
        ({}, "5"),
        ({"tenant": "t1"}, "4"),
        ({"tenant": "t1", "api_key": "k1"}, "3"),
        ({"tenant": "t2", "api_key": "k1"}, "3"),
        ({"tenant": "t2", "api_key": "k2"}, "5"),
    ],
)
def test_order_of_books(who: dict[str, str], price_in: str) -> None:
    """API key over tenant over operator over list; others' overrides do not matter."""
    book = PriceBook.of(
        [
            *LIST,
            *rows({"input_tokens": "5", "output_tokens": "5"}, book="operator"),
            *rows({"input_tokens": "4", "output_tokens": "4"}, book="tenant:t1"),
            *rows({"input_tokens": "3", "output_tokens": "3"}, book="api_key:k1"),
        ]
    )
    quote = book.price(usage(**who))
    assert quote.amount_usd == D(price_in) * 1_100 / M
    assert quote.status == "priced"


def test_curated_outranks_imported_unit_by_unit() -> None:
    """A curated row replaces the imported one of its unit and leaves the others."""
    imported = rows(RATES, is_imported=True)
    quote = PriceBook.of([row("output_tokens", "9"), *imported]).price(usage())
    assert amounts(quote) == {"input_tokens": D(2) * 1_000 / M, "output_tokens": D(9) * 100 / M}


def test_override_without_a_unit_leaves_it_unpriced() -> None:
    """Negotiated and list prices are not mixed silently."""
    quote = PriceBook.of([*LIST, row("input_tokens", "1", book="operator")]).price(usage())
    assert amounts(quote) == {"input_tokens": D(1) * 1_000 / M, "output_tokens": None}
    assert (quote.status, quote.amount_usd) == ("partial", D(1) * 1_000 / M)
    assert quote.issues == ("no_price: output_tokens",)


def test_override_may_inherit_the_list() -> None:
    """`inherit: list` lets the units left out fall through."""
    override = row("input_tokens", "1", book="operator", inherits_list=True)
    quote = PriceBook.of([*LIST, override]).price(usage())
    assert amounts(quote) == {"input_tokens": D(1) * 1_000 / M, "output_tokens": D(8) * 100 / M}


def test_override_that_does_not_apply_yet_is_as_if_it_were_not() -> None:
    """Before its start, and where its conditions do not hold, the list applies."""
    later = rows({"input_tokens": "1", "output_tokens": "1"}, book="operator", valid_from_unix_ns=NOON + 1)
    streamed = rows({"input_tokens": "1", "output_tokens": "1"}, book="operator", when=(("mode", "stream"),))
    for override in (later, streamed):
        assert PriceBook.of([*LIST, *override]).price(usage()).amount_usd == (D(2) * 1_000 + D(8) * 100) / M


def test_factor_scales_every_list_unit() -> None:
    """A discount factor is on the whole list; the unit price shown is the negotiated one."""
    book = PriceBook([PriceRows(LIST)], factors=[Factor(book="tenant:t1", provider="acme", factor=D("0.78"))])
    quote = book.price(usage(tenant="t1"))
    assert quote.amount_usd == D("0.78") * (D(2) * 1_000 + D(8) * 100) / M
    assert quote.lines[0].unit_price_usd == D("1.56")
    assert quote.lines[0].price_id.endswith("x 0.78")
    assert book.price(usage(tenant="t2")).amount_usd == (D(2) * 1_000 + D(8) * 100) / M


@pytest.mark.parametrize(
    ("factor", "applies"),
    [
        (Factor(book="operator", factor=D("0.5")), True),
        (Factor(book="operator", factor=D("0.5"), model="nova"), True),
        (Factor(book="operator", factor=D("0.5"), model="other"), False),
        (Factor(book="operator", factor=D("0.5"), provider="other"), False),
        (Factor(book="operator", factor=D("0.5"), valid_from_unix_ns=NOON + 1), False),
        (Factor(book="operator", factor=D("0.5"), valid_to_unix_ns=NOON), False),
    ],
)
def test_factor_applies_to_what_it_names(factor: Factor, applies: bool) -> None:
    """A factor may be for all, for a provider or for a model, and for a time."""
    book = PriceBook([PriceRows(LIST)], factors=[factor])
    assert book.price(usage()).amount_usd == (D(2) * 1_000 + D(8) * 100) / M / (2 if applies else 1)


def test_most_specific_factor_wins_and_absolute_rows_beat_factors() -> None:
    """One factor applies, that of the model; a row of the same book is not scaled."""
    factors = [Factor(book="operator", factor=D("0.5")), Factor(book="operator", factor=D("0.9"), model="nova")]
    override = row("input_tokens", "1", book="operator")
    quote = PriceBook([PriceRows([*LIST, override])], factors=factors).price(usage())
    assert amounts(quote) == {"input_tokens": D(1) * 1_000 / M, "output_tokens": D("0.9") * 8 * 100 / M}


def test_scaled_book() -> None:
    """Ad-hoc: every price of the book times a factor."""
    book = PriceBook.of(LIST).scaled(D("0.875"))
    assert book.price(usage()).amount_usd == D("0.875") * (D(2) * 1_000 + D(8) * 100) / M
    assert book.scaled(D(2)).price(usage()).amount_usd == D("1.75") * (D(2) * 1_000 + D(8) * 100) / M


def test_later_loaded_row_supersedes_an_equal_one() -> None:
    """Same book, unit, conditions and start: the one loaded later is in force, whatever its end."""
    first = rows(RATES, book="operator")
    second = rows({"input_tokens": "1", "output_tokens": "1"}, book="operator")
    assert PriceBook([PriceRows(first), PriceRows(second)]).price(usage()).amount_usd == D(1_100) / M
    assert PriceBook([PriceRows(second), PriceRows(first)]).price(usage()).amount_usd == D(2_800) / M


# Choice within a book


def test_more_conditions_win() -> None:
    """The row that meets most of what the call said is the price."""
    book = PriceBook.of(
        [
            row("input_tokens", "10"),
            row("input_tokens", "5", when=(("mode", "batch"),)),
            row("input_tokens", "4", when=(("mode", "batch"), ("region", "eu"))),
        ]
    )
    for conditions, price in (({}, "10"), ({"mode": "batch"}, "5"), ({"mode": "batch", "region": "EU"}, "4")):
        assert book.price(usage({"input_tokens": 10}, **conditions)).amount_usd == D(price) * 10 / M


def test_exact_over_prefix_over_pattern() -> None:
    """The closer a row names the model, the sooner it is taken; of two prefixes the longer."""
    book = PriceBook.of(
        [
            row("input_tokens", "1", model="nova.*", match="regex"),
            row("input_tokens", "2", model="no", match="prefix"),
            row("input_tokens", "3", model="nova", match="prefix"),
            row("input_tokens", "4"),
        ]
    )
    for model, price in (("nova", "4"), ("nova-2", "3"), ("nox", "2")):
        assert book.price(usage({"input_tokens": 10}, model=model)).amount_usd == D(price) * 10 / M
    assert book.price(usage({"input_tokens": 10}, model="x-nova")).status == "unpriced"


def test_latest_start_wins() -> None:
    """A price without an end lasts until the next one starts."""
    book = PriceBook.of([row("input_tokens", str(n), valid_from_unix_ns=NOON + n * DAY) for n in range(1, 4)])
    for days, price in ((1, "1"), (2, "2"), (3, "3"), (400, "3")):
        assert book.price(usage({"input_tokens": 10}, at_unix_ns=NOON + days * DAY)).amount_usd == D(price) * 10 / M
    before = book.price(usage({"input_tokens": 10}))
    assert (before.status, before.amount_usd) == ("unpriced", None)


def test_validity_is_half_open() -> None:
    """A price holds at its start and no longer at its end."""
    book = PriceBook.of([row("input_tokens", "1", valid_from_unix_ns=NOON, valid_to_unix_ns=NOON + 10)])
    statuses = [book.price(usage(at_unix_ns=NOON + after)).status for after in (-1, 0, 9, 10)]
    assert statuses == ["unpriced", "partial", "partial", "unpriced"]


def test_window_wins_while_it_is_open() -> None:
    """A row with hours outranks the one without, inside them."""
    window = Window(weekdays=frozenset({4}), minutes=((12 * 60, 13 * 60),))
    book = PriceBook.of([row("input_tokens", "1"), row("input_tokens", "9", window=window)])
    prices = [
        book.price(usage({"input_tokens": 10}, at_unix_ns=NOON + after)).amount_usd
        for after in (-1, 0, DAY // 24 - 1, DAY // 24, DAY)
    ]
    assert prices == [D(p) * 10 / M for p in (1, 9, 9, 1, 1)]


def test_highest_tier_reached_wins() -> None:
    """Of several cliffs the highest one passed prices the whole request; the basis may be any quantity."""
    book = PriceBook.of(
        [
            row("input_tokens", "1"),
            row("input_tokens", "2", context_tier=ContextTier(above=100)),
            row("input_tokens", "3", context_tier=ContextTier(above=200)),
            row("output_tokens", "5"),
            row("output_tokens", "6", context_tier=ContextTier(basis="output_tokens", above=50, is_inclusive=True)),
        ]
    )
    for tokens, price in ((100, 1), (101, 2), (200, 2), (201, 3)):
        assert book.price(usage({"input_tokens": tokens})).amount_usd == D(price) * tokens / M
    for tokens, price in ((49, 5), (50, 6)):
        assert book.price(usage({"output_tokens": tokens})).amount_usd == D(price) * tokens / M


def test_dated_alias() -> None:
    """An alias that moves is followed at the time of the call; aliases of aliases too, circles end."""
    models = [row("input_tokens", "1", model="old"), row("input_tokens", "2", model="new")]
    aliases = [
        ModelAlias(provider="acme", name="latest", model="old", valid_to_unix_ns=NOON),
        ModelAlias(provider="acme", name="latest", model="new", valid_from_unix_ns=NOON),
        ModelAlias(provider="acme", name="deployment", model="latest"),
        ModelAlias(provider="acme", name="ring", model="ring-2"),
        ModelAlias(provider="acme", name="ring-2", model="ring"),
        ModelAlias(provider="acme", name="team-", match="prefix", model="new"),
    ]
    book = PriceBook([PriceRows(models, aliases)])

    def price(model: str, at_unix_ns: int) -> D | None:
        return book.price(usage({"input_tokens": 1_000_000}, model=model, at_unix_ns=at_unix_ns)).amount_usd

    assert [price("latest", NOON - 1), price("latest", NOON)] == [D(1), D(2)]
    assert [price("deployment", NOON - 1), price("deployment", NOON)] == [D(1), D(2)]
    assert price("team-blue", NOON) == D(2)
    assert price("ring", NOON) is None


def test_override_on_a_model_covers_its_declared_snapshots() -> None:
    """Calls answer with the dated snapshot; a negotiated price for the model applies to it."""
    aliases = [ModelAlias(provider="acme", name="nova-2024-01-01", model="nova")]
    override = rows({"input_tokens": "1", "output_tokens": "1"}, book="operator")
    book = PriceBook([PriceRows([*LIST, *override], aliases)])
    assert book.price(usage(model="nova-2024-01-01")).amount_usd == D(1_100) / M


def test_a_window_outranks_how_well_the_name_matches() -> None:
    """A night price by prefix beats a day price by the exact name while it is night."""
    window = Window(weekdays=frozenset({4}), minutes=((12 * 60, 13 * 60),))
    exact = row("input_tokens", "1", model="nova-2")
    by_prefix = row("input_tokens", "9", model="nova", match="prefix", window=window)
    for book in (PriceBook.of([exact, by_prefix]), PriceBook.of([by_prefix, exact])):
        quote = book.price(usage({"input_tokens": 1_000}, model="nova-2"))
        assert quote.amount_usd == D(9) * 1_000 / M
        quote = book.price(usage({"input_tokens": 1_000}, model="nova-2", at_unix_ns=NOON + DAY))
        assert quote.amount_usd == D(1) * 1_000 / M
