"""Price files: the format, and the errors, each with file, line, column and the mend."""

from decimal import Decimal as D
from pathlib import Path

import pytest

from cost_exporter.domain import UsageRecord
from cost_exporter.domain.pricing.rows import ALWAYS, ContextTier, Window
from cost_exporter.errors import PriceFileError
from cost_exporter.prices import load_book
from cost_exporter.prices.place import wrap
from cost_exporter.prices.price_file import parse_price_file, parse_rates, read_price_file
from cost_exporter.prices.rows import read_factor
from tests.prices.cases import unix_ns

FULL = """
prices:
  - provider: ElevenLabs          # any spelling
    model: Nova-2
    unit: audio_seconds
    price: "0.0043"
    per: "60"
    valid_from: 2026-01-01T00:00:00Z
    valid_to: 2026-07-01T02:00:00+02:00
    book: tenant:acme
    increment: "60"
    minimum: "30"
    round_scope: leg
    multiplier: channels
    when: {mode: stream, service_tier: batch}
    context_tier: {basis: input_tokens, above: 200000, inclusive: true}
    bill_on_error: true
    window: {weekdays: [mon, Tue], utc: ["01:00-04:00", "22:00-02:00"]}
    currency: USD
    source: https://example.com
    checked: 2026-11-01
    confidence: low
    assumed: "plan: starter"
    note: sources disagree
factors:
  - {book: "tenant:acme", provider: openai, factor: "0.78", valid_from: 2026-01-01}
aliases:
  - {provider: azure, name: My-Deployment, model: gpt-4o, valid_from: 2026-01-01T00:00:00Z}
inherit: list
"""
ROW = 'provider: a\n    model: m\n    unit: characters\n    price: "1"\n    per: "1"'


def one(text: str) -> str:
    return f"prices:\n  - {text}\n"


def test_every_key_of_the_format() -> None:
    """A row with every key is read as it is meant."""
    file = parse_price_file(FULL, "full.yaml")
    row = file.rows[0]
    assert (row.provider, row.model, row.match, row.unit) == ("elevenlabs", "nova-2", "exact", "audio_seconds")
    assert (row.price_usd, row.per, row.increment, row.minimum) == (D("0.0043"), D(60), D(60), D(30))
    assert row.valid_from_unix_ns == unix_ns("2026-01-01T00:00:00+00:00")
    assert row.valid_to_unix_ns == unix_ns("2026-07-01T00:00:00+00:00")
    assert (row.book, row.round_scope, row.multiplier) == ("tenant:acme", "leg", "channels")
    assert row.when == (("mode", "batch"),)  # batch is a mode, whatever it is called
    assert row.context_tier == ContextTier(above=200_000, is_inclusive=True)
    assert row.window == Window(weekdays=frozenset({0, 1}), minutes=((60, 240), (1320, 120)))
    assert row.bill_on_error
    assert row.inherits_list
    assert (row.source, row.checked, row.confidence) == ("https://example.com", "2026-11-01", "low")
    assert (row.assumed, row.note) == ("plan: starter", "sources disagree")
    assert (file.factors[0].factor, file.factors[0].provider) == (D("0.78"), "openai")
    assert (file.aliases[0].name, file.aliases[0].model) == ("my-deployment", "gpt-4o")


def test_defaults() -> None:
    """Without book a loaded row is the operator's; without dates it is always valid."""
    row = parse_price_file(one(ROW), "f").rows[0]
    assert (row.book, row.valid_from_unix_ns, row.inherits_list) == ("operator", ALWAYS, False)
    assert parse_price_file("", "f").rows == []
    assert parse_price_file("prices:\n", "f").rows == []
    assert parse_price_file("inherit: none\n", "f").rows == []


def test_match_by_prefix_and_pattern() -> None:
    """`match` takes the place of `model`."""
    prefix = parse_price_file(one(ROW.replace("model: m", "match: {prefix: Nova-2}")), "f").rows[0]
    regex = parse_price_file(one(ROW.replace("model: m", 'match: {regex: "nova-2(-general)?"}')), "f").rows[0]
    assert (prefix.match, prefix.model) == ("prefix", "nova-2")
    assert (regex.match, regex.model) == ("regex", "nova-2(-general)?")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("prices: [", r"f:\d+:\d+: not YAML"),
        ("- 1", "f:1:1: not a price file"),
        ("prices: 1", "f:1:9: `prices` is not a list"),
        ("rows: []", "f:1:7: unknown section 'rows'"),
        ("inherit: all", "f:1:10: unknown `inherit: all`"),
        ("prices:\n  - x", "f:2:5: not a mapping"),
        ("a: 1\na: 2", "f:2:1: 'a' is given twice"),
        (
            one(ROW.replace('price: "1"', "price: 0.0043")),
            r'f:5:12: price 0.0043 is a float; quote it: price: "0.0043"',
        ),
        (one(ROW.replace('per: "1"', "per: 60.0")), "f:6:10: per 60.0 is a float"),
        (one(ROW.replace('\n    per: "1"', "")), "f:2:5: 'per' is missing; add `per: …`"),
        (
            one(ROW.replace("unit: characters", "unit: charcters")),
            "unknown unit 'charcters'; did you mean 'characters'",
        ),
        (one(ROW.replace("unit: characters", "unit: zzz")), "unknown unit 'zzz'; use one of: audio_seconds"),
        (one(ROW + "\n    when: {mood: stream}"), "unknown condition 'mood'; did you mean 'mode'"),
        (one(ROW + "\n    when: stream"), "`when` is not a mapping"),
        (one(ROW + "\n    prise: 1"), "unknown key 'prise'; did you mean 'price'"),
        (one(ROW.replace('price: "1"', 'price: "cheap"')), "price: not a decimal number"),
        (one(ROW.replace('price: "1"', 'price: "NaN"')), "price: not a decimal number"),
        (one(ROW.replace('price: "1"', 'price: "-1"')), "price -1 is not at least 0"),
        (one(ROW.replace('price: "1"', 'price: "1e13"')), "price 1e13 is absurdly large"),
        (one(ROW.replace('per: "1"', 'per: "0"')), "per 0 is not more than 0"),
        (one(ROW.replace("model: m", "model: []")), "'model' is not a text"),
        (one(ROW + "\n    match: {prefix: x}"), "`model` or `match`, not both"),
        (one(ROW.replace("model: m", "match: x")), "`match` is neither a prefix nor a regex"),
        (one(ROW.replace("model: m", 'match: {regex: "("}')), "not a regular expression"),
        (one(ROW + "\n    book: bok"), "unknown book 'bok'"),
        (one(ROW + "\n    book: 'tenant:'"), "unknown book 'tenant:'"),
        (one(ROW + "\n    valid_from: soon"), "valid_from 'soon' is not a time"),
        (one(ROW + "\n    valid_from: 2026-02-01\n    valid_to: 2026-01-01"), "valid_to is not after valid_from"),
        (one(ROW + "\n    bill_on_error: maybe"), "'bill_on_error' is neither true nor false"),
        (one(ROW + "\n    window: {weekdays: mon}"), "'weekdays' is not a list"),
        (one(ROW + "\n    window: {utc: []}"), "'utc' is not a list"),
        (one(ROW + "\n    window: {weekdays: [lundi]}"), "unknown weekday 'lundi'"),
        (one(ROW + '\n    window: {utc: ["9-17"]}'), "'9-17' is not a range of times"),
        (one(ROW + '\n    window: {utc: ["09:00-09:00"]}'), "is not a range within a day"),
        (one(ROW + "\n    currency: EUR"), "unknown currency 'EUR'"),
        (one(ROW + "\n    confidence: sure"), "unknown confidence 'sure'"),
        (one(ROW + "\n    round_scope: day"), "unknown round_scope 'day'"),
        (one(ROW) + f"  - {ROW}", "f:7:5: validity overlaps that of line 2: a m characters"),
        (
            one(ROW + "\n    valid_to: 2026-07-01") + f"  - {ROW}\n    valid_from: 2026-06-01",
            "f:8:5: validity overlaps that of line 2.*end one where the other starts: 2026-06-01",
        ),
        (
            one(ROW + "\n    when: {mode: stream}") + f"  - {ROW}\n    when: {{region: eu}}",
            "ties with line 2: one usage can meet mode=stream and region=eu",
        ),
    ],
)
def test_errors_name_the_place_and_how_to_fix_it(text: str, error: str) -> None:
    """What cannot be right is refused with file, line, column, what is wrong and what to do."""
    with pytest.raises(PriceFileError, match=error):
        parse_price_file(text, "f")


def test_a_price_is_raised_by_appending() -> None:
    """A row without an end lasts until the next one starts: no overlap."""
    text = one(ROW) + f"  - {ROW}\n    valid_from: 2026-06-01\n"
    assert len(parse_price_file(text, "f").rows) == 2


@pytest.mark.parametrize(
    ("one_condition", "other"),
    [
        ("{mode: stream}", "{mode: batch}"),
        ("{mode: stream}", "{mode: stream, region: eu}"),
        ("{mode: batch}", "{service_tier: flex}"),
    ],
)
def test_conditions_that_exclude_or_refine_one_another_do_not_tie(one_condition: str, other: str) -> None:
    """No usage can meet both, or the one with more conditions wins."""
    text = one(f"{ROW}\n    when: {one_condition}") + f"  - {ROW}\n    when: {other}\n"
    assert len(parse_price_file(text, "f").rows) == 2


def test_a_row_for_both_conditions_settles_a_tie() -> None:
    """With a third row for both conditions there is no doubt."""
    text = "".join(
        f"  - {ROW}\n    when: {when}\n" for when in ("{mode: stream}", "{region: eu}", "{mode: stream, region: eu}")
    )
    assert len(parse_price_file("prices:\n" + text, "f").rows) == 3


def test_rates_from_json() -> None:
    """Ad-hoc rates are rows without provider and model; a number with a point is refused there too."""
    rows = parse_rates([{"unit": "characters", "price": "0.3", "per": 1000}], provider="Acme", model="Nova")
    assert (rows[0].provider, rows[0].model, rows[0].per) == ("acme", "nova", D(1000))
    with pytest.raises(PriceFileError, match=r"rates: price 0.3 is a float"):
        parse_rates([{"unit": "characters", "price": D("0.3"), "per": "1"}], provider="a", model="m")
    with pytest.raises(PriceFileError, match=r"factor 1.5 is a float"):
        read_factor(wrap({"factor": D("1.5")}))
    assert read_factor(wrap({"factor": "1.5", "valid_from": None})).factor == D("1.5")
    absent = parse_rates(
        [{"unit": "characters", "price": "1", "per": "1", "bill_on_error": None}], provider="a", model="m"
    )
    assert not absent[0].bill_on_error
    assert parse_rates(
        [{"unit": "characters", "price": "1", "per": "1", "bill_on_error": True}], provider="a", model="m"
    )[0].bill_on_error


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, one that is no text and one that is too big are errors with the path."""
    binary, big = tmp_path / "binary.yaml", tmp_path / "big.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with big.open("wb") as file:
        file.truncate(33 * 1024 * 1024)
    for path, error in ((tmp_path / "none.yaml", "cannot be read"), (binary, "not UTF-8"), (big, "more than")):
        with pytest.raises(PriceFileError, match=error):
            read_price_file(path)
    with pytest.raises(PriceFileError, match="not YAML"):
        parse_price_file("a: \x00", "f")


def test_a_bad_file_leaves_the_book_in_force(tmp_path: Path) -> None:
    """Loading fails as a whole; a book that was loaded goes on as it was."""
    path = tmp_path / "prices.yaml"
    path.write_text(one(ROW))
    book = load_book(path)
    path.write_text(one(ROW.replace('\n    per: "1"', "")))
    with pytest.raises(PriceFileError, match="'per' is missing"):
        load_book(path)
    assert len(book.prices_of("a").rows) == 1


def test_an_own_row_says_that_extras_are_included(tmp_path: Path) -> None:
    """Paid extras have no list price; an operator whose contract includes them says so by a zero beside the list."""
    path = tmp_path / "own.yaml"
    row = 'provider: deepgram\n    match: {regex: ".*"}\n    unit: paid_extras\n    price: "0"\n    per: "1"'
    path.write_text(one(row) + "inherit: list\n", encoding="utf-8")
    usage = UsageRecord(
        provider="deepgram",
        model="nova-3",
        mode="stream",
        quantities={"audio_seconds": 60, "paid_extras": 1},
        at_unix_ns=unix_ns("2026-11-20T12:00:00+00:00"),
    )
    quotes = [book.price(usage) for book in (load_book(), load_book(path))]
    assert [(quote.status, quote.amount_usd) for quote in quotes] == [("partial", D("0.0048")), ("priced", D("0.0048"))]
