"""A quote and its lines: as JSON, and given back by the record that was made with it."""

from dataclasses import replace
from decimal import Decimal as D

from cost_exporter.domain.quote import Line, Rate
from tests.domain.builders import call, price_by_sum, settled


def test_a_line_writes_money_as_text() -> None:
    """In JSON money and quantities are strings, and unknown is null."""
    line = Line(
        rate=Rate("vectors", price_id="p"),
        quantity=D("1.50"),
        billed_quantity=D(2),
        amount_usd=None,
    )
    assert line.as_json() == {
        "unit": "vectors",
        "quantity": "1.5",
        "billed_quantity": "2",
        "unit_price": None,
        "per": None,
        "amount": None,
        "price_id": "p",
    }


def test_a_record_gives_back_the_quote_it_was_made_with() -> None:
    """Re-rating and late spans compare quotes, so none of a quote may be lost in its record."""
    (record,) = settled(call("a")).values()
    assert record.quote == price_by_sum(replace(record.call.usage, tenant=record.tenant))
