from decimal import Decimal as D

import pytest

from cost_exporter.domain.quantity import QUANTITIES
from cost_exporter.report.unit_price import unit_price_text


@pytest.mark.parametrize(
    ("unit", "price", "per", "text"),
    [
        ("input_tokens", "2.5", "1000000", "$2.50 / 1M tokens"),
        ("cache_read_tokens", "0.075", "1000000", "$0.075 / 1M tokens"),
        ("output_tokens", "10", "1000000", "$10.00 / 1M tokens"),
        ("characters", "0.05", "1000", "$0.05 / 1K chars"),
        ("audio_seconds", "0.0043", "60", "$0.0043 / min"),
        ("audio_seconds", "0.37", "3600", "$0.37 / h"),
        ("audio_seconds", "0.024", "15", "$0.024 / 15 s"),
        ("call_seconds", "0.0001", "1", "$0.0001 / s"),
        ("requests", "0.005", "1", "$0.005 / request"),
        ("web_searches", "10", "1000", "$10.00 / 1K web searches"),
        ("web_searches", "0.01", "1", "$0.01 / web search"),
        ("read_units", "16", "1000000", "$16.00 / 1M read units"),
        ("images", "0.04", "1", "$0.04 / image"),
        ("vectors", "1", "2500", "$1.00 / 2,500 vectors"),
        ("vendor_cost_usd", "1", "1", "as reported"),
        ("charge_usd", "0.029", "1", "2.9 %"),
    ],
)
def test_a_unit_price_reads_as_people_say_it(unit: str, price: str, per: str, text: str) -> None:
    """In the words of a price list, and with each digit of the price."""
    assert unit_price_text(unit, D(price), D(per)) == text


@pytest.mark.parametrize("unit", sorted(QUANTITIES))
def test_every_quantity_has_words(unit: str) -> None:
    """No name of the code is shown where a person reads a price."""
    assert "_" not in unit_price_text(unit, D("0.5"), D(1))
