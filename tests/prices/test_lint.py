"""Lint: prices that load and are probably wrong; and that everything shipped is right by it."""

from decimal import Decimal as D
from typing import Any

import pytest

from cost_exporter.domain import Factor, PriceBook, PriceRow
from cost_exporter.domain.pricing.book import PriceRows
from cost_exporter.prices.diff import diff_rows
from cost_exporter.prices.lint import LintFinding, lint_book, lint_rows
from cost_exporter.prices.loader import curated_files, load_book
from cost_exporter.prices.rows_json import row_json
from tests.prices.cases import shipped_book

M = D(1_000_000)


def override(provider: str, model: str, unit: str, price: str, per: D = M, **changes: Any) -> PriceRow:
    fields: dict[str, Any] = {"book": "operator"} | changes
    return PriceRow(provider=provider, model=model, unit=unit, price_usd=D(price), per=per, **fields)


def found(*rows: PriceRow) -> list[LintFinding]:
    return lint_rows(load_book(extra_rows=rows), rows)


def test_every_shipped_row_passes() -> None:
    """The shipped book has nothing to look at."""
    assert lint_book(shipped_book()) == []


def test_every_shipped_row_says_where_it_is_from() -> None:
    """Source, checked date and confidence are on each curated row; assumptions name their subject."""
    rows = [row for file in curated_files() for row in file.rows]
    assert len(rows) > 200
    assert all(row.source.startswith("https://") and len(row.checked) == 10 and row.confidence for row in rows)
    assert all(": " in row.assumed for row in rows if row.assumed)


def test_shipped_row_without_source_is_found() -> None:
    """The check above can fail."""
    row = override("acme", "nova", "input_tokens", "1", book="list")
    assert [one.code for one in lint_book(PriceBook.of([row]))] == ["no_source"]


@pytest.mark.parametrize(
    ("row", "code", "slip"),
    [
        (override("deepgram", "nova-2", "audio_seconds", "0.43", D(60)), "off_list", "cents written as dollars"),
        (override("cerebras", "llama3.1-8b", "input_tokens", "10"), "off_list", "cents written as dollars"),
        (override("twilio", "voice", "call_seconds", "0.40", D(60)), "off_list", "29 times"),
        (
            override("openai", "gpt-4o", "input_tokens", "2.5", D(1_000)),
            "off_list",
            "per 1,000 written as one per 1,000,000",
        ),
        (override("openai", "gpt-4o", "input_tokens", "0.0025"), "off_list", "1/1000 of"),
        (
            override("deepgram", "nova-2", "audio_seconds", "0.0043", D(1)),
            "off_list",
            "per minute written as one per second",
        ),
        (override("openai", "whisper-1", "audio_seconds", "0.36", D(1)), "implausible", "higher than any published"),
        (override("openai", "gpt-4o", "input_tokens", "2.5", D(1)), "implausible", "higher than any published"),
    ],
)
def test_slips_are_named(row: PriceRow, code: str, slip: str) -> None:
    """More than ten times off the list warns, names both rows, and says what it looks like."""
    findings = [one for one in found(row) if one.code == code]
    assert len(findings) == 1
    assert slip in findings[0].text
    assert findings[0].severity == "warning"
    if code == "off_list":
        assert row.price_id in findings[0].text
        assert "the list price list" in findings[0].text


def test_ten_times_is_still_taken() -> None:
    """Ten times more or less is unusual, not wrong; a free override is a decision."""
    for price in ("25", "0.25", "2.5", "0"):
        row = override("openai", "gpt-4o", "input_tokens", price, inherits_list=True)
        assert found(row) == []


def test_incomplete_override_is_found() -> None:
    """An override that leaves out what the list prices says so, unless it inherits or has a factor beside it."""
    rows = [override("openai", "gpt-4o", unit, "2") for unit in ("input_tokens", "output_tokens")]
    findings = found(*rows)
    assert [one.code for one in findings] == ["incomplete"]
    assert "without cache_read_tokens, web_searches" in findings[0].text
    assert findings[0].as_json()["price_id"] == rows[0].price_id
    inheriting = [override("openai", "gpt-4o", row.unit, "2", inherits_list=True) for row in rows]
    assert found(*inheriting) == []
    factor = Factor(book="operator", factor=D("0.9"))
    assert lint_rows(load_book(extra_rows=rows, extra_factors=[factor]), rows) == []
    assert found(override("acme", "nova", "input_tokens", "2")) == []


def test_patterns_are_not_held_against_the_list() -> None:
    """A pattern prices many models: there is no one list row to hold it against."""
    assert found(override("openai", "gpt-.*", "input_tokens", "900", match="regex")) == []


def test_diff() -> None:
    """Added, removed and changed rows, with both prices."""
    before = [override("a", "m", "input_tokens", "1"), override("a", "m", "output_tokens", "2", minimum=D(3))]
    after = [override("a", "m", "input_tokens", "4"), override("a", "m", "requests", "5", D(1), increment=D(2))]
    changes = diff_rows(before, after)
    assert [(one.kind, one.before, one.after) for one in changes] == [
        ("changed", "$1 per 1000000", "$4 per 1000000"),
        ("removed", "$2 per 1000000, minimum 3", ""),
        ("added", "", "$5 per 1, increment 2"),
    ]
    assert changes[0].as_json()["price_id"] == "operator/a/m/input_tokens"
    assert diff_rows(before, before) == []


def test_rows_as_json() -> None:
    """A row as JSON has the names of the price file and strings for money."""
    row = next(row for row in PriceBook([PriceRows(shipped_book().rows)]).rows if row.multiplier and row.when)
    content = row_json(row)
    assert (content["provider"], content["unit"], content["currency"]) == ("deepgram", "audio_seconds", "USD")
    assert isinstance(content["price"], str)
    assert content["conditions"]
    assert content["context_tier"] is None
    tiered = next(row_json(one) for one in shipped_book().rows if one.context_tier)
    assert tiered["context_tier"]["basis"] == "input_tokens"
