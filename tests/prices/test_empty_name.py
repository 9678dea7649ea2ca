"""No price applies to a model without a name: what was not stated is unpriced, and never guessed."""

from decimal import Decimal as D

import pytest

from cost_exporter.domain import ModelAlias, PriceBook, PriceRow
from cost_exporter.domain.pricing.book import PriceRows
from cost_exporter.domain.pricing.match import matches_empty_name
from cost_exporter.prices.lint import lint_book
from cost_exporter.prices.loader import curated_files, shipped_snapshot
from cost_exporter.prices.price_file import PriceFile
from cost_exporter.prices.snapshot import Snapshot
from tests.domain.small_book import usage
from tests.prices.cases import shipped_book

MATCHES_ALL = PriceRow(provider="acme", model="(nova)?", match="regex", unit="characters", price_usd=D(1))
NAMELESS = ["", " ", "\t"]


@pytest.mark.parametrize("provider", sorted(shipped_book().providers))
def test_no_shipped_row_or_alias_matches_an_empty_name(provider: str) -> None:
    """Every provider's rows and aliases, by their own patterns."""
    assert [row.price_id for row in shipped_book().prices_of(provider).rows if matches_empty_name(row)] == []
    aliases = [alias for source in (shipped_snapshot(), *curated_files()) for alias in aliases_of(source, provider)]
    assert [alias for alias in aliases if matches_empty_name(alias)] == []
    for name in NAMELESS:
        assert shipped_book().prices_of(provider).candidates(provider, name) == []


def aliases_of(source: Snapshot | PriceFile, provider: str) -> list[ModelAlias]:
    found = source.aliases(provider) if isinstance(source, Snapshot) else source.aliases
    return [alias for alias in found if alias.provider == provider]


@pytest.mark.parametrize("name", NAMELESS)
def test_a_pattern_that_would_match_an_empty_name_does_not(name: str) -> None:
    """An operator's own pattern neither: rows that were loaded before this was checked stay harmless."""
    alias = ModelAlias(provider="acme", name=".*", match="regex", model="nova")
    named = PriceRow(provider="acme", model="nova", unit="messages", price_usd=D(1))
    book = PriceBook([PriceRows([MATCHES_ALL, named], [alias])])
    quote = book.price(usage(provider="acme", model=name, request_model=name, quantities={"characters": 1}))
    assert (quote.status, quote.amount_usd) == ("unpriced", None)
    assert book.price(usage(provider="acme", model="nova", quantities={"characters": 1})).status == "priced"


def test_such_a_pattern_is_found_by_lint() -> None:
    """It has no effect where the operator perhaps wants one."""
    findings = lint_book(PriceBook.of([MATCHES_ALL]))
    assert "empty_name" in {finding.code for finding in findings}


@pytest.mark.parametrize("provider", ["twilio", "telnyx", "stripe"])
@pytest.mark.parametrize("model", ["", "voice-outbound-gb", "a-product-of-next-year"])
def test_an_unknown_call_is_not_priced_as_one_within_the_united_states(provider: str, model: str) -> None:
    """Neither by the missing request model, nor by the vendor's most usual price."""
    quantities = {"call_seconds": 61, "charge_usd": D(5)}
    quote = shipped_book().price(usage(provider=provider, model=model, request_model="", quantities=quantities))
    assert (quote.status, quote.amount_usd) == ("unpriced", None)
