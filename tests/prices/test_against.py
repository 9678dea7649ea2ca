"""Hold the book against other lists: what differs, by how much, and how old both figures are."""

import json
from decimal import Decimal as D
from pathlib import Path

import pytest

from cost_exporter.domain import PriceBook, PriceRow
from cost_exporter.domain.pricing.rows import ContextTier
from cost_exporter.errors import CallfareError
from cost_exporter.prices.against import compare
from cost_exporter.prices.litellm import installed_list, read_litellm
from tests.prices.cases import NOON, unix_ns


def priced(price: str, *, unit: str = "input_tokens", model: str = "nova", checked: str = "") -> PriceRow:
    return PriceRow(provider="acme", model=model, unit=unit, price_usd=D(price), per=D(1_000_000), checked=checked)


BOOK = PriceBook.of(
    [
        priced("2", checked="2026-11-22"),
        priced("0.5", unit="cache_read_tokens", checked="2026-11-22"),
        priced("43", unit="audio_seconds"),
    ]
)


def test_what_differs_is_named_with_both_dates() -> None:
    """A price of a part of a total is compared too; what differs by rounding does not."""
    theirs = [
        priced("3", checked="2026-08-20"),
        priced("0.5", unit="cache_read_tokens"),
        priced("43.004", unit="audio_seconds"),
        priced("9", model="unknown"),
    ]
    found = compare(BOOK, theirs, at_unix_ns=unix_ns(NOON))
    assert (found.equal_count, found.unknown_here_count) == (2, 1)
    (other,) = [one.as_json() for one in found.disagreements]
    assert other["model"] == "nova"
    assert (other["ours"], other["ours_checked"]) == ("2", "2026-11-22")
    assert (other["theirs"], other["theirs_checked"], other["per"]) == ("3", "2026-08-20", "1000000")


def test_what_holds_for_some_calls_only_is_not_compared() -> None:
    """Neither tiers of the context, nor what is over."""
    tier = PriceRow(
        provider="acme", model="nova", unit="input_tokens", price_usd=D(1), context_tier=ContextTier(above=200_000)
    )
    over = PriceRow(provider="acme", model="nova", unit="input_tokens", price_usd=D(1), valid_to_unix_ns=1)
    found = compare(BOOK, [tier, over], at_unix_ns=unix_ns(NOON))
    assert (found.disagreements, found.equal_count, found.unknown_here_count) == ([], 0, 0)


def test_litellm_is_read_from_a_file(tmp_path: Path) -> None:
    """Exactly, by the units it states; a price of 0 and what is no model says nothing."""
    path = tmp_path / "prices.json"
    path.write_text(
        json.dumps(
            {
                "sample_spec": {"litellm_provider": "one of", "input_cost_per_token": 1},
                "acme/Nova": {
                    "litellm_provider": "acme",
                    "input_cost_per_token": 2e-06,
                    "output_cost_per_token": 0.0,
                    "input_cost_per_token_batches": 1e-06,
                },
                "deepgram/nova-2": {
                    "litellm_provider": "deepgram",
                    "mode": "audio_transcription",
                    "input_cost_per_second": 7.167e-05,
                },
                "broken": "text",
            }
        )
    )
    rows = read_litellm(path)
    assert [(row.provider, row.model, row.unit, str(row.price_usd), row.when) for row in rows] == [
        ("acme", "nova", "input_tokens", "0.000002", ()),
        ("acme", "nova", "input_tokens", "0.000001", (("mode", "batch"),)),
        ("deepgram", "nova-2", "audio_seconds", "0.00007167", ()),
    ]
    found = compare(BOOK, rows, at_unix_ns=unix_ns(NOON))
    assert found.equal_count >= 1


@pytest.mark.parametrize(("text", "says"), [("[]", "not a list of models"), ("{", "not JSON")])
def test_a_file_that_is_not_that_list(tmp_path: Path, text: str, says: str) -> None:
    """One line that says what to give."""
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(CallfareError, match=says):
        read_litellm(path)
    with pytest.raises(CallfareError, match="cannot be read"):
        read_litellm(tmp_path / "missing.json")


def test_litellm_is_found_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without importing it; where it is not, its list is asked for."""
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CallfareError, match="--file"):
        installed_list()
    (tmp_path / "litellm").mkdir()
    (tmp_path / "litellm" / "__init__.py").write_text("raise SystemExit('imported')")
    listed = tmp_path / "litellm" / "model_prices_and_context_window_backup.json"
    listed.write_text("{}")
    assert installed_list() == listed
