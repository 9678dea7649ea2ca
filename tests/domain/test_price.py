"""What a usage costs by small books written here: quantities, statuses, rounding. Real rates: tests/prices."""

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_exporter.domain import Factor, PriceBook
from cost_exporter.domain.money import total
from cost_exporter.domain.pricing.book import PriceRows
from tests.domain.small_book import LIST, NOON, RATES, M, amounts, row, rows, usage

# Quantities


@pytest.mark.parametrize(
    ("changes", "quantities", "billed"),
    [
        ({"increment": D(60)}, {"call_seconds": 127}, 180),
        ({"increment": D(60)}, {"call_seconds": 120}, 120),
        ({"increment": D(60)}, {"call_seconds": 0}, 0),
        ({"increment": D(6), "minimum": D(30)}, {"call_seconds": 3}, 30),
        ({"increment": D(6), "minimum": D(30)}, {"call_seconds": 31}, 36),
        ({"minimum": D(15)}, {"call_seconds": D("15.1")}, D("15.1")),
        ({"minimum": D(30)}, {"call_seconds": 0}, 0),
        ({"minimum": D(30)}, {"call_seconds": 0, "calls": 1}, 30),
        ({"multiplier": "channels"}, {"call_seconds": 10, "channels": 2}, 20),
        ({"multiplier": "channels"}, {"call_seconds": 10}, 10),
        ({"increment": D(15), "multiplier": "channels"}, {"call_seconds": 16, "channels": 2}, 60),
    ],
)
def test_increment_minimum_and_multiplier(changes: dict[str, Any], quantities: dict[str, Any], billed: D | int) -> None:
    """Rounded up to the increment, raised to the minimum, then multiplied; nothing used is nothing billed."""
    quote = PriceBook.of([row("call_seconds", "0.6", per=D(60), **changes)]).price(usage(quantities))
    line = quote.lines[0]
    assert (line.billed_quantity, line.amount_usd) == (billed, D("0.01") * billed)
    assert line.quantity == quantities["call_seconds"]


def test_deltas_of_a_session_add_up_to_the_session_rounded_once() -> None:
    """Rounding by the session: a delta is billed for what it adds to the rounded whole."""
    book = PriceBook.of([row("session_seconds", "0.60", per=D(60), increment=D(60), round_scope="session")])
    before: dict[str, D] = {}
    billed: list[D] = []
    for seconds in (D(20), D(30), D(40), D(5)):
        quote = book.price(usage({"session_seconds": seconds}, session_before=before or None))
        billed.append(quote.lines[0].billed_quantity)
        before = {"session_seconds": before.get("session_seconds", D(0)) + seconds}
    assert billed == [60, 0, 60, 0]


def test_deltas_of_other_scopes_are_rounded_one_by_one() -> None:
    """Without the word `session` what went before changes nothing."""
    book = PriceBook.of([row("session_seconds", "0.60", per=D(60), increment=D(60))])
    quote = book.price(usage({"session_seconds": 30}, session_before={"session_seconds": 20}))
    assert quote.lines[0].billed_quantity == 60


def test_connection_fee_once() -> None:
    """A fee for the connection is a row of its own: minutes and fee are summed."""
    book = PriceBook.of([row("call_seconds", "0.40", per=D(60), increment=D(60)), row("calls", "0.25", per=D(1))])
    quote = book.price(usage({"call_seconds": 127, "calls": 1}))
    assert quote.amount_usd == D("0.40") * 3 + D("0.25")  # 1.45


@pytest.mark.parametrize(
    ("priced", "used", "expected"),
    [
        (["characters", "credits"], ["characters", "credits"], ["characters"]),
        (["credits"], ["characters", "credits"], ["credits"]),
        (["input_tokens", "characters"], ["input_tokens", "characters"], ["input_tokens"]),
        (["characters"], ["characters", "output_audio_seconds"], ["characters"]),
        (["audio_seconds", "session_seconds"], ["audio_seconds", "session_seconds"], ["audio_seconds"]),
        (["session_seconds"], ["audio_seconds", "session_seconds"], ["session_seconds"]),
        (["call_seconds", "session_seconds"], ["call_seconds", "session_seconds"], ["call_seconds"]),
        (["input_tokens", "audio_seconds"], ["input_tokens", "audio_seconds"], ["input_tokens", "audio_seconds"]),
        (["input_tokens"], ["input_tokens", "audio_seconds", "characters"], ["input_tokens"]),
        (["characters"], ["characters", "requests", "messages", "channels"], ["characters"]),
    ],
)
def test_alternative_meters_are_never_summed(priced: list[str], used: list[str], expected: list[str]) -> None:
    """Of several meters of one service the rows decide which one is billed; the others are left out."""
    book = PriceBook.of([row(unit, "1", per=D(1)) for unit in priced])
    quote = book.price(usage(dict.fromkeys(used, 3)))
    assert [line.unit for line in quote.lines] == expected
    assert (quote.status, quote.amount_usd) == ("priced", D(3) * len(expected))


def test_the_higher_book_decides_on_the_meter() -> None:
    """An operator who is billed by credits is not billed by the list's characters as well."""
    listed, override = row("characters", "1"), row("credits", "2", book="operator", inherits_list=True)
    quote = PriceBook.of([listed, override]).price(usage({"characters": 10, "credits": 5}))
    assert amounts(quote) == {"credits": D(2) * 5 / M}


def test_a_price_that_stands_in_gives_way_to_the_real_meter() -> None:
    """A price for a quantity the vendor does not bill by is an estimate, and is never added to the real one."""
    book = PriceBook.of([*LIST, row("audio_seconds", "6", assumed="meter: by length")])
    measured, counted = (
        book.price(usage({"audio_seconds": 30})),
        book.price(usage({"audio_seconds": 30, "input_tokens": 5})),
    )
    assert (measured.status, measured.amount_usd) == ("estimated", D(6) * 30 / M)
    assert measured.issues == ("assumed_meter: by length",)
    assert (counted.status, amounts(counted)) == ("priced", {"input_tokens": D(2) * 5 / M})


def test_batch_is_a_condition_on_tokens_alone() -> None:
    """A model that has prices for tokens, billed by something else: recorded audio is no batch of theirs."""
    book = PriceBook.of([*LIST, row("audio_seconds", "6")])
    assert book.price(usage({"audio_seconds": 30}, mode="batch")).issues == ()
    assert book.price(usage(mode="batch")).issues == ("unmatched_mode: no price for 'batch', priced as standard",)


def test_reasoning_with_a_price_of_its_own() -> None:
    """Reasoning that has a row comes out of the output; it cannot take more than there is."""
    book = PriceBook.of([*LIST, row("reasoning_tokens", "3")])
    quote = book.price(usage({"output_tokens": 100, "reasoning_tokens": 60}))
    assert amounts(quote) == {"output_tokens": D(8) * 40 / M, "reasoning_tokens": D(3) * 60 / M}
    assert book.price(usage({"reasoning_tokens": 60})).amount_usd == D(3) * 60 / M
    quantities = {"output_tokens": 100, "output_audio_tokens": 60, "reasoning_tokens": 60}
    assert book.price(usage(quantities)).status == "invalid"


def test_request_fee_needs_no_count() -> None:
    """A usage is one request; a stated count is taken as stated."""
    book = PriceBook.of([*LIST, row("requests", "5", per=D(1_000))])
    assert amounts(book.price(usage()))["requests"] == D("0.005")
    assert amounts(book.price(usage({"input_tokens": 1, "requests": 3})))["requests"] == D("0.015")


# Statuses


@pytest.mark.parametrize(
    ("quantities", "status", "amount"),
    [
        ({"input_tokens": 0, "output_tokens": 0}, "priced", D(0)),
        ({"web_searches": 0}, "priced", D(0)),
        ({"input_tokens": 1_000_000, "web_searches": 1}, "partial", D(2)),
        ({"web_searches": 1}, "unpriced", None),
        ({}, "no_usage", None),
        ({"requests": 1}, "no_usage", None),
        ({"input_tokens": -1}, "invalid", None),
        ({"input_token": 1}, "invalid", None),
    ],
)
def test_status_of_quantities(quantities: dict[str, int], status: str, amount: D | None) -> None:
    """Unknown is never 0, and an explicit zero is 0."""
    quote = PriceBook.of(LIST).price(usage(quantities))
    assert (quote.status, quote.amount_usd) == (status, amount)


def test_explicit_zero_price_is_free() -> None:
    """Free is a price of 0."""
    quote = PriceBook.of(rows({"input_tokens": "0", "output_tokens": "0"})).price(usage())
    assert (quote.status, quote.amount_usd) == ("priced", D(0))


def test_zeros_of_an_unknown_model_stay_unknown() -> None:
    """Where no model is known, not even nothing is known to cost nothing."""
    assert PriceBook.of(LIST).price(usage({"input_tokens": 0}, model="other")).amount_usd is None


def test_zeros_before_any_price_stay_unknown() -> None:
    """Where no price is in force yet, not even zeros are priced."""
    book = PriceBook.of([row("input_tokens", "1", valid_from_unix_ns=NOON + 1)])
    quote = book.price(usage({"input_tokens": 0}))
    assert (quote.status, quote.amount_usd) == ("unpriced", None)


def test_requested_model_makes_an_estimate() -> None:
    """The response model is priced first; where only the requested one is known, it is an estimate."""
    book = PriceBook.of([*LIST, row("input_tokens", "7", model="nova-9")])
    assert book.price(usage(model="nova-9", request_model="nova")).lines[0].unit_price_usd == D(7)
    quote = book.price(usage(model="nova-10", request_model="nova"))
    assert quote.status == "estimated"
    assert quote.issues == ("request_model: nova-10 has no price, nova was asked for",)
    assert book.price(usage(model="", request_model="nova")).status == "priced"


def test_estimated_usage_makes_an_estimate() -> None:
    """An estimate of the quantities is an estimate of the cost."""
    assert PriceBook.of(LIST).price(usage(is_estimated=True)).status == "estimated"


def test_refused_request_costs_nothing() -> None:
    """Refused work is priced at 0 with the reason, even where the model or the counts are unknown."""
    book = PriceBook.of(LIST)
    for refused in (
        usage(is_refused=True),
        usage({"input_tokens": -1}, is_refused=True),
        usage(is_refused=True, model="x"),
    ):
        quote = book.price(refused)
        assert (quote.status, quote.amount_usd, quote.lines) == ("priced", D(0), ())
        assert quote.issues[0].startswith("refused")


def test_refused_request_is_billed_where_the_row_says_so() -> None:
    """`bill_on_error` bills its unit, and only that."""
    book = PriceBook.of([*LIST, row("requests", "0.01", per=D(1), bill_on_error=True)])
    quote = book.price(usage(is_refused=True))
    assert amounts(quote) == {"requests": D("0.01")}
    assert (quote.status, quote.amount_usd) == ("priced", D("0.01"))


def test_reported_cost_outranks_the_list_but_not_an_override() -> None:
    """API key > tenant > operator > trusted stated cost > list."""
    override = rows({"input_tokens": "1", "output_tokens": "1"}, book="tenant:t1")
    book = PriceBook.of([*LIST, *override])
    reported = book.price(usage(vendor_cost_usd=D("0.0123456789012345")))
    assert (reported.status, reported.amount_usd) == ("reported", D("0.012345678901"))
    assert total(line.amount_usd or D(0) for line in reported.lines) == reported.amount_usd
    assert book.price(usage(vendor_cost_usd=D(1), tenant="t1")).amount_usd == D(1_100) / M
    assert book.price(usage({"web_searches": 1}, vendor_cost_usd=D(1), tenant="t1")).status == "reported"
    assert book.price(usage({"input_tokens": -1}, vendor_cost_usd=D(1), tenant="t1")).status == "reported"
    assert book.price(usage({}, vendor_cost_usd=D(1))).amount_usd == D(1)
    assert book.price(usage(vendor_cost_usd=D(-1))).status == "invalid"
    assert book.price(usage(vendor_cost_usd=D("NaN"))).status == "invalid"


def test_assumptions_are_said_where_they_matter() -> None:
    """What a price takes for granted is an issue of the quote, once, and only if the line costs something."""
    assumed = rows(RATES, assumed="plan: starter")
    book = PriceBook.of(assumed)
    assert book.price(usage()).issues == ("assumed_plan: starter",)
    assert book.price(usage(plan="Starter")).issues == ()
    assert book.price(usage(plan="gold")).issues == ("assumed_plan: starter (no price for plan 'gold')",)
    assert book.price(usage({"input_tokens": 0})).issues == ()


def test_unmatched_condition_of_an_override_is_the_operators_word() -> None:
    """An operator's price holds for every tier it does not single out."""
    override = rows(RATES, book="operator")
    assert PriceBook.of(override).price(usage(service_tier="flex")).status == "priced"
    assert PriceBook.of(LIST).price(usage(service_tier="flex")).status == "estimated"
    assert PriceBook.of([row("audio_seconds", "1")]).price(usage({"audio_seconds": 1}, mode="batch")).status == "priced"


def test_resold_model() -> None:
    """A reseller's call is priced at the maker's list, which the quote says; never at the maker's overrides."""
    made = rows(RATES, provider="openai")
    override = rows({"input_tokens": "1", "output_tokens": "1"}, provider="openai", book="operator")
    quote = PriceBook.of([*made, *override]).price(usage(provider="azure"))
    assert quote.amount_usd == (D(2) * 1_000 + D(8) * 100) / M
    assert quote.issues == ("resale: at the list price of openai",)
    assert PriceBook.of(made).price(usage(provider="azure", model="x")).status == "unpriced"


def test_price_of_a_kind_of_usage_is_forgotten_past_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Model names come from outside: what is remembered of them is bounded, and answers stay the same."""
    monkeypatch.setattr("cost_exporter.domain.pricing.book._ENTRIES_MAX", 3)
    book = PriceBook.of(LIST)
    assert [book.price(usage(model=f"m{n}")).status for n in range(10)] == ["unpriced"] * 10
    assert len(book._entries) <= 3
    assert book.price(usage()).status == "priced"


def test_version_is_of_the_content() -> None:
    """Equal rows, equal version; another price, factor or increment, another version."""
    version = PriceBook.of(LIST).version
    assert version == PriceBook.of(rows(RATES)).version
    others = [
        PriceBook.of([*LIST, row("requests", "1")]),
        PriceBook([PriceRows(LIST)], factors=[Factor(book="operator", factor=D(1))]),
        PriceBook.of(rows(RATES, increment=D(2))),
    ]
    assert len({version, *[book.version for book in others]}) == 4
    assert others[1].factors == (Factor(book="operator", factor=D(1)),)


# Laws

PRICES = st.decimals(min_value=0, max_value=1_000, places=6)
COUNTS = st.integers(min_value=0, max_value=10**12)


@given(price=PRICES, count=COUNTS, per=st.sampled_from([1, 60, 1_000, 3_600, 1_000_000]))
def test_a_line_is_price_times_quantity_quantised_once(price: D, count: int, per: int) -> None:
    """Whatever price and quantity: their exact product, rounded half-even to 12 places."""
    quote = PriceBook.of([row("characters", str(price), per=D(per))]).price(usage({"characters": count}))
    numerator, denominator = (price * 10**6).to_integral_value(), per * 10**6
    scaled, rest = divmod(int(numerator) * count * 10**12, denominator)
    rounded = scaled + (1 if 2 * rest > denominator or (2 * rest == denominator and scaled % 2) else 0)
    assert quote.amount_usd == D(rounded).scaleb(-12)


@given(
    fresh=COUNTS,
    cached=st.integers(min_value=0, max_value=10**6),
    out=COUNTS,
    prices=st.tuples(PRICES, PRICES, PRICES),
)
def test_lines_add_up_and_quantities_too(fresh: int, cached: int, out: int, prices: tuple[D, D, D]) -> None:
    """The amount is the sum of the lines, and the lines' quantities add up to the totals."""
    units = ("input_tokens", "cache_read_tokens", "output_tokens")
    book = PriceBook.of([row(unit, str(price)) for unit, price in zip(units, prices, strict=True)])
    tokens = min(fresh + cached, 10**12)
    quote = book.price(usage({"input_tokens": tokens, "cache_read_tokens": min(cached, tokens), "output_tokens": out}))
    assert quote.amount_usd == total(line.amount_usd or D(0) for line in quote.lines)
    quantities = {line.unit: line.quantity for line in quote.lines}
    assert quantities["input_tokens"] + quantities["cache_read_tokens"] == tokens


# Calls told in part


@pytest.mark.parametrize("operation", ["chat", "generate_content", "text_completion"])
@pytest.mark.parametrize(
    ("quantities", "missing"),
    [
        ({"output_tokens": 100}, ["input_tokens"]),
        ({"output_tokens": 100, "cache_read_tokens": 50}, ["input_tokens"]),
        ({"output_audio_tokens": 100, "web_searches": 0}, ["input_tokens"]),
        ({"input_tokens": 1_000}, ["output_tokens"]),
        ({"input_tokens": 1_000, "reasoning_tokens": 5}, ["output_tokens"]),
        ({"cache_read_tokens": 50}, ["input_tokens", "output_tokens"]),
    ],
)
def test_a_chat_told_in_part_is_partial(operation: str, quantities: dict[str, int], missing: list[str]) -> None:
    """One of the two totals is on no span: what is known is the known part, and the record names the rest."""
    book = PriceBook.of(rows(RATES | {"output_audio_tokens": "9", "cache_read_tokens": "1"}))
    stated = usage(quantities, operation=operation)
    quote, plain = book.price_of_call(stated), book.price(stated)
    assert (quote.status, quote.issues) == ("partial", tuple(f"not_stated: {name}" for name in missing))
    assert (quote.amount_usd, quote.lines) == (plain.amount_usd, plain.lines)
    assert (plain.status, plain.issues) == ("priced", ())


@pytest.mark.parametrize(
    ("quantities", "fields"),
    [
        ({"input_tokens": 1_000, "output_tokens": 100}, {}),
        ({"input_tokens": 1_000, "output_tokens": 0}, {}),
        ({"input_tokens": 0, "output_tokens": 100}, {}),
        ({"input_audio_tokens": 1_000, "output_audio_tokens": 100}, {}),
        ({"input_image_tokens": 1_000, "output_image_tokens": 100}, {}),
        ({"images": 1}, {}),
        ({"input_tokens": 1_000}, {"has_failed": True}),
        ({"output_tokens": 100}, {"is_refused": True}),
        ({"input_tokens": 1_000}, {"operation": "embeddings"}),
        ({"output_tokens": 100}, {"operation": "speech_to_text"}),
        ({"output_tokens": 100}, {"vendor_cost_usd": D(1)}),
        ({"input_tokens": 1_000}, {"model": "embedder"}),
        ({"input_tokens": 1_000}, {"model": "free"}),
        ({"input_tokens": 1_000}, {"model": "unknown"}),
        ({}, {}),
    ],
)
def test_a_chat_that_lacks_nothing_that_is_billed_is_priced_as_it_is(
    quantities: dict[str, int], fields: dict[str, Any]
) -> None:
    """Zeros are stated, parts state a whole, failures have no answer, and not every model bills its output."""
    audio = {"input_audio_tokens": "9", "output_audio_tokens": "9", "input_image_tokens": "9"}
    book = PriceBook.of(
        [
            *rows(RATES | audio | {"output_image_tokens": "9", "images": "9"}),
            row("input_tokens", "1", model="embedder"),
            *rows({"input_tokens": "1", "output_tokens": "0"}, model="free"),
        ]
    )
    stated = usage(quantities, **{"operation": "chat"} | fields)
    assert book.price_of_call(stated) == book.price(stated)


def test_a_chat_told_in_part_names_what_has_no_price_first() -> None:
    """Partial for two reasons: both are said. An estimate of a part is a part."""
    quote = PriceBook.of(LIST).price_of_call(usage({"input_tokens": 5, "web_searches": 1}, operation="chat"))
    assert (quote.status, quote.issues) == ("partial", ("no_price: web_searches", "not_stated: output_tokens"))
    guess = usage({"input_tokens": 5}, operation="chat", is_estimated=True)
    assert PriceBook.of(LIST).price_of_call(guess).status == "partial"


def test_the_vendors_figure_stands_where_our_price_would_know_a_part_only() -> None:
    """A negotiated price outranks the vendor's figure, unless the call is told in part."""
    book = PriceBook.of([*LIST, *rows(RATES, book="tenant:t1")])
    stated = usage({"output_tokens": 100}, operation="chat", vendor_cost_usd=D(1), tenant="t1")
    assert (book.price_of_call(stated).status, book.price_of_call(stated).amount_usd) == ("reported", 1)
