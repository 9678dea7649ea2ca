"""Revenue less payment fee less provider cost, exactly."""

from decimal import Decimal as D

from cost_exporter.domain.margin import FeeRule, fee_usd, profit_usd

CARD = FeeRule(percent=D("2.9"), fixed_usd=D("0.30"))


def test_a_fee_is_a_share_and_a_fixed_part() -> None:
    """2.9 % + $0.30 on $4.99."""
    assert fee_usd(D("4.99"), [CARD]) == D("0.029") * D("4.99") + D("0.30") == D("0.44471")


def test_fees_add_up() -> None:
    """Several rules are summed; none is no fee."""
    assert fee_usd(D(10), [CARD, CARD]) == 2 * (D("0.29") + D("0.30"))
    assert fee_usd(D(10), []) == 0


def test_profit_is_what_is_left() -> None:
    """Revenue - fee - cost, to the digit."""
    assert profit_usd(D("4.99"), D("0.44471"), D("0.092325")) == D("4.99") - D("0.44471") - D("0.092325")
    assert profit_usd(D(1), None, D(2)) == D(-1)


def test_without_revenue_there_is_neither_fee_nor_profit() -> None:
    """Unknown revenue is not zero revenue."""
    assert fee_usd(None, [CARD]) is None
    assert profit_usd(None, None, D(1)) is None
