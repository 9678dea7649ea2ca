"""An explained quote is arithmetic that can be checked by hand."""

from decimal import Decimal as D

from cost_exporter.domain import PriceBook, PriceRow, UsageRecord
from cost_exporter.domain.pricing.explain import explain
from tests.domain.small_book import LIST, row, usage


def explained(asked: UsageRecord, *rows_beside: PriceRow) -> list[str]:
    book = PriceBook.of([*LIST, *rows_beside], version="v1")
    return explain(asked, book.price_of_call(asked)).splitlines()


def test_each_line_shows_how_its_amount_comes_about() -> None:
    """Quantity, rate and amount of each line with its price, then the sum."""
    text = explained(usage({"input_tokens": 1_200_000, "output_tokens": 100}))
    assert text[0] == "acme nova, 2024-10-04T12:00:00Z: $2.4008"
    assert text[1] == "status priced: every quantity has a price; price book v1"
    assert "  input_tokens: 1,200,000 x $2 / 1,000,000 = $2.4" in text
    assert "  output_tokens: 100 x $8 / 1,000,000 = $0.0008" in text
    assert "  total: $2.4 + $0.0008 = $2.4008" in text
    assert sum(line.startswith("    price: ") for line in text) == 2


def test_a_billed_step_and_a_rounded_amount_are_named() -> None:
    """135 seconds are billed as 180; a third of a dollar is rounded, and the line says how."""
    per_minute = row("audio_seconds", "0.0043", per=D(60), increment=D(60))
    assert "  audio_seconds: 135 (billed as 180) x $0.0043 / 60 = $0.0129" in explained(
        usage({"audio_seconds": D(135)}), per_minute
    )
    third = row("characters", "1", per=D(3))
    (line,) = [line for line in explained(usage({"characters": 1}), third) if line.startswith("  characters")]
    assert line.endswith("rounded half-even to 12 places")


def test_what_is_unknown_is_named_as_unknown() -> None:
    """A quantity without a price, and a call of which nothing is known."""
    text = explained(usage({"input_tokens": 10, "output_tokens": 1, "images": 2}))
    assert "  images: 2, no price: counted as unknown, not as nothing" in text
    assert any(line.startswith("  note: ") for line in text)
    nothing = explained(usage({"input_tokens": 1}, provider="", model=""))
    assert nothing[0] == "(no provider) (no model), 2024-10-04T12:00:00Z: unknown"
