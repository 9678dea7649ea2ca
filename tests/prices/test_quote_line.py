"""`prices quote`: one line in, one line out, whatever the line holds."""

import json
from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_exporter.prices.quote_line import AnsweredLine, QuoteDesk
from tests.prices.cases import shipped_book

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def answer(asked: Any) -> AnsweredLine:
    line = asked if isinstance(asked, bytes | str) else json.dumps(asked)
    return QuoteDesk(shipped_book()).answer(line, now=NOW)


def test_shape_of_a_quote() -> None:
    """The answer is the shape of the contract, money and quantities as strings."""
    asked = {
        "provider": "openai",
        "model": "gpt-4o-mini",
        "at": "2026-03-01T12:00:00Z",
        "usage": {"input_tokens": 1_200, "cache_read_tokens": 200, "output_tokens": "300"},
    }
    quoted = answer(asked)
    assert quoted.is_readable
    assert json.loads(quoted.text) == {
        "amount": "0.000345",  # 0.15 x 1,000 + 0.075 x 200 + 0.6 x 300, per million
        "currency": "USD",
        "status": "priced",
        "lines": [
            line("input_tokens", "1000", "0.15", "0.00015"),
            line("output_tokens", "300", "0.6", "0.00018"),
            line("cache_read_tokens", "200", "0.075", "0.000015"),
        ],
        "issues": [],
        "book_version": shipped_book().version,
    } | {"lines": json.loads(quoted.text)["lines"]}
    lines = {one["unit"]: one for one in json.loads(quoted.text)["lines"]}
    assert lines["input_tokens"] == line("input_tokens", "1000", "0.15", "0.00015")
    assert lines["output_tokens"] == line("output_tokens", "300", "0.6", "0.00018")
    assert lines["cache_read_tokens"] == line("cache_read_tokens", "200", "0.075", "0.000015")


def line(unit: str, quantity: str, price: str, amount: str) -> dict[str, str]:
    return {
        "unit": unit,
        "quantity": quantity,
        "billed_quantity": quantity,
        "unit_price": price,
        "per": "1000000",
        "amount": amount,
        "price_id": f"list.imported/openai/gpt-4o-mini/{unit}",
    }


@pytest.mark.parametrize(
    ("rates", "usage", "amount"),
    [
        ([{"unit": "characters", "price": "0.30", "per": "1000"}], {"characters": 47}, "0.0141"),
        ([{"unit": "audio_seconds", "price": "0.43", "per": "60"}], {"audio_seconds": 8.4}, "0.0602"),
        ([{"unit": "call_seconds", "price": "0.40", "per": "60"}], {"call_seconds": 127}, "0.846666666667"),
        (
            [
                {"unit": "call_seconds", "price": "0.40", "per": "60", "increment": "60"},
                {"unit": "calls", "price": "0.25", "per": 1},
            ],
            {"call_seconds": "127", "calls": 1},
            "1.45",
        ),
        (
            [
                {"unit": "charge_usd", "price": "0.029", "per": "1"},
                {"unit": "charges", "price": "0.30", "per": "1"},
            ],
            {"charge_usd": "4.99", "charges": 1},
            "0.44471",
        ),
        (
            [
                {"unit": "input_tokens", "price": "10", "per": "1000000"},
                {"unit": "output_tokens", "price": "10", "per": "1000000"},
            ],
            {"input_tokens": 1_000, "output_tokens": 203},
            "0.01203",
        ),
        (
            [
                {"unit": "input_tokens", "price": "1", "per": "1000"},
                {"unit": "input_tokens", "price": "2", "per": "1000", "context_tier": {"above": 100}},
            ],
            {"input_tokens": 101},
            "0.202",
        ),
    ],
)
def test_ad_hoc_rates_replace_the_book(rates: list[dict[str, Any]], usage: dict[str, Any], amount: str) -> None:
    """Rates given with the usage are the whole price list for it."""
    body = answer({"provider": "anyone", "model": "anything", "usage": usage, "rates": rates}).body
    assert (body["amount"], body["status"]) == (amount, "priced")


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"model": "some/model"},
        {"request_model": "m"},
        {"provider": "openai", "model": "openai/gpt-4o", "base_url": "https://api.groq.com"},
        {"provider": "azure", "model": "gpt-4o", "tenant": "acme", "service_tier": "flex"},
    ],
)
def test_ad_hoc_rates_hold_whatever_the_names(asked: dict[str, str]) -> None:
    """Rates given with a usage are for that usage: no name has to be known."""
    rates = [{"unit": "characters", "price": "2", "per": "1"}]
    body = answer({"usage": {"characters": 3}, "rates": rates} | asked).body
    assert (body["amount"], body["status"], body["issues"]) == ("6", "priced", [])


def test_ad_hoc_factor() -> None:
    """A factor is on the book's rows."""
    asked = {"provider": "openai", "model": "gpt-4o", "usage": {"input_tokens": 1_000_000}}
    for rates in ([{"factor": "0.875"}], {"factor": "0.875"}):
        assert answer(asked | {"rates": rates}).body["amount"] == "2.1875"  # 2.5 x 0.875
    assert answer(asked | {"rates": [{"factor": "0.875"}, {"factor": "1"}]}).body["status"] == "invalid"
    unknown = answer(asked | {"model": "no-such-model", "rates": [{"factor": "0.875"}]}).body
    assert (unknown["status"], unknown["amount"]) == ("unpriced", None)


def test_conditions_reach_the_book() -> None:
    """Tier, mode, plan and search context are read from the line."""
    asked = {"provider": "openai", "model": "gpt-4o-mini", "usage": {"input_tokens": 1_000_000}}
    assert answer(asked | {"service_tier": "batch"}).body["amount"] == "0.075"
    plan = {"provider": "elevenlabs", "model": "eleven_v3", "usage": {"characters": 1_000}, "plan": "pro"}
    assert answer(plan).body["amount"] == "0.24"


@pytest.mark.parametrize(
    ("at", "amount"),
    [
        ("2026-08-20T23:59:59Z", "5"),
        ("2026-08-21T00:00:00Z", "4"),
        ("2026-08-21T01:59:59+02:00", "5"),
        ("2026-08-21", "4"),
        (None, "4"),
    ],
)
def test_at(at: str | None, amount: str) -> None:
    """The instant counts with its offset; without one it is UTC; without any it is now."""
    asked = {"provider": "openai", "model": "gpt-5.6-sol", "usage": {"input_tokens": 100_000}, "at": at}
    assert D(answer(asked).body["amount"]) == D(amount) / 10


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "garbage",
        "[]",
        "7",
        "null",
        b"\xff\xfe",
        '{"usage": {"input_tokens": NaN}}',
        '{"usage": {"input_tokens": Infinity}}',
        '{"usage": {"input_tokens": 1e999}}',
        '{"usage": {"input_tokens": 1e9999999}}',
        '{"usage": {"input_tokens": ' + "9" * 5_000 + "}}",
        "[" * 100_000,
        '{"a": ' * 100_000,
        " " * (1024 * 1024 + 1),
        {"usage": []},
        {"usage": {"input_tokens": True}},
        {"usage": {"input_tokens": [1]}},
        {"usage": {"input_tokens": "many"}},
        {"usage": {"input_token": 1}},
        {"provider": 7, "usage": {}},
        {"at": "yesterday", "usage": {}},
        {"usage": {"input_tokens": 1}, "rates": []},
        {"usage": {"input_tokens": 1}, "rates": "cheap"},
        {"usage": {"input_tokens": 1}, "rates": {"factor": 0.5}},
        {"usage": {"input_tokens": 1}, "rates": [{"unit": "input_tokens", "price": 0.5, "per": "1"}]},
        {"usage": {"input_tokens": 1}, "rates": [{"unit": "input_tokens", "price": "0.5"}]},
        {"usage": {"input_tokens": 1}, "rates": [{"unit": "tokens", "price": "0.5", "per": "1"}]},
        {"usage": {"input_tokens": 1}, "rates": [1]},
    ],
    ids=lambda asked: str(asked)[:40],
)
def test_bad_lines_are_answered(asked: Any) -> None:
    """What cannot be read is answered `invalid`, with an issue, and counts as not read."""
    quoted = answer(asked)
    assert not quoted.is_readable
    assert (quoted.body["status"], quoted.body["amount"], quoted.body["lines"]) == ("invalid", None, [])
    assert quoted.body["issues"][0].startswith("bad_line: ")
    assert "\n" not in quoted.text


@pytest.mark.parametrize(
    ("usage", "status"),
    [({"input_tokens": -1}, "invalid"), ({"input_tokens": 1.5}, "invalid"), ({}, "no_usage"), (None, "no_usage")],
)
def test_lines_that_are_read_and_cannot_be_priced(usage: Any, status: str) -> None:
    """Impossible counts and no usage are answers, not bad lines."""
    quoted = answer({"provider": "openai", "model": "gpt-4o", "usage": usage})
    assert quoted.is_readable
    assert quoted.body["status"] == status


def test_books_of_rates_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line may bring rates of its own; what is remembered of them is bounded."""
    monkeypatch.setattr("cost_exporter.prices.quote_line._BOOKS_MAX", 2)
    desk = QuoteDesk(shipped_book())
    for n in range(1, 6):
        rates = [{"unit": "characters", "price": str(n), "per": "1"}]
        line = json.dumps({"usage": {"characters": 1}, "rates": rates})
        assert desk.answer(line, now=NOW).body["amount"] == str(n)
    assert len(desk._books) <= 2


@given(st.text() | st.binary() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(str))
def test_any_line_gets_one_answer(line: Any) -> None:
    """Nothing that can be written on a line stops the command."""
    assert answer(line).body["status"] in {"invalid", "no_usage"}


def test_explanation_can_be_followed_by_hand() -> None:
    """Every digit: quantity, billed quantity, rate, rounding, sum, and what was assumed."""
    asked = {
        "provider": "twilio",
        "model": "voice",
        "at": "2026-11-20T12:00:00Z",
        "usage": {"call_seconds": 127, "calls": 1, "images": 2},
    }
    version = shipped_book().version
    assert answer(asked).explanation.splitlines() == [
        "twilio voice, 2026-11-20T12:00:00Z: $0.042",
        f"status partial: the known part only: some quantities have no price, or were not stated; price book {version}",
        "  call_seconds: 127 (billed as 180) x $0.014 / 60 = $0.042",
        "    price: list/twilio/regex:(programmable-)?(voice|phone_call|call)/call_seconds",
        "  images: 2, no price: counted as unknown, not as nothing",
        "  total: $0.042 = $0.042",
        "  note: assumed_leg: outbound, US",
        "  note: no_price: images",
    ]
    rounded = answer({"provider": "groq", "model": "whisper-large-v3", "usage": {"audio_seconds": 11}}).explanation
    assert "11 x $0.111 / 3,600 = $0.000339166667, rounded half-even to 12 places" in rounded
    assert "unknown" in answer({"provider": "x", "usage": {"images": 1}}).explanation
    free = answer({"usage": {"calls": 3}, "rates": [{"unit": "calls", "price": "2", "per": "1"}]}).explanation
    assert "calls: 3 x $2 = $6" in free


@pytest.mark.parametrize(
    ("usage", "output", "citations"),
    [
        ({"input_tokens": 1, "output_tokens": 100, "output_citation_tokens": 10}, "90", "10"),
        ({"input_tokens": 1, "output_tokens": 100, "citation_tokens": 10}, "100", "10"),
        ({"input_tokens": 1, "output_citation_tokens": 10}, None, "10"),
    ],
)
def test_citations_are_priced_apart(usage: dict[str, int], output: str | None, citations: str) -> None:
    """genai-prices counts them within the output, and names them so; Perplexity counts them beside it."""
    quoted = json.loads(answer({"provider": "perplexity", "model": "sonar-deep-research", "usage": usage}).text)
    quantities = {one["unit"]: one["quantity"] for one in quoted["lines"]}
    assert (quantities.get("output_tokens"), quantities["citation_tokens"]) == (output, citations)
