"""Money is exact: quantised once a line, summed without rounding, shown without exponents."""

from decimal import Decimal as D
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_exporter.domain.money import ceil_to_multiple, parse_decimal, quantise_line, to_plain, total

amounts = st.decimals(min_value=0, max_value=10**9, places=12, allow_nan=False)


@pytest.mark.parametrize(
    ("exact", "kept"),
    [
        ("0.0000000000005", "0"),
        ("0.0000000000015", "0.000000000002"),
        ("0.0000000000025", "0.000000000002"),
        ("0.1234567890125", "0.123456789012"),
    ],
)
def test_a_line_is_rounded_half_even_at_twelve_places(exact: str, kept: str) -> None:
    """Ties go to the even digit, so rounding has no direction."""
    assert quantise_line(D(exact)) == D(kept)


@given(st.lists(amounts, max_size=30))
def test_a_total_is_the_exact_sum(costs_usd: list[D]) -> None:
    """No rounding in a sum, whatever its length; order does not matter."""
    assert Fraction(total(costs_usd)) == sum((Fraction(each) for each in costs_usd), Fraction(0))
    assert total(costs_usd) == total(reversed(costs_usd))


@given(
    st.decimals(min_value="0.001", max_value=10**6, places=3),
    st.decimals(min_value="0.001", max_value=1000, places=3),
)
def test_rounding_up_gives_the_least_multiple_that_covers(quantity: D, increment: D) -> None:
    """The billed quantity is a whole multiple, covers the quantity, and one step less would not."""
    billed = ceil_to_multiple(quantity, increment)
    assert Fraction(billed) % Fraction(increment) == 0
    assert billed >= quantity > billed - increment


def test_rounding_up_is_not_fooled_by_floats() -> None:
    """2.1 / 0.7 is exactly 3, which float arithmetic makes 4."""
    assert ceil_to_multiple(D("2.1"), D("0.7")) == D("2.1")
    assert ceil_to_multiple(D(61), D(60)) == D(120)


def test_rounding_up_is_exact_next_to_a_multiple() -> None:
    """A quotient with more digits than any context holds is still rounded the right way."""
    assert ceil_to_multiple(D("600000000000.000000000001"), D(60)) == D(600000000060)
    assert ceil_to_multiple(D("599999999999.999999999999"), D(60)) == D(600000000000)


@pytest.mark.parametrize("text", ["", "NaN", "Infinity", "-inf", "1_000", "0x1", "1e99999", "1" * 65, "four"])
def test_what_is_not_a_number_is_refused(text: str) -> None:
    """Only finite decimals of a sane size are numbers here."""
    with pytest.raises(ValueError, match="not a decimal number"):
        parse_decimal(text)


@pytest.mark.parametrize(("text", "number"), [("12", "12"), (" 0.30 ", "0.30"), ("-1e3", "-1000"), ("+.5", "0.5")])
def test_decimals_are_taken_as_written(text: str, number: str) -> None:
    """Sign, fraction and a small exponent are fine."""
    assert parse_decimal(text) == D(number)


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0.0100", "0.01"), ("1E+3", "1000"), ("1E-12", "0.000000000001"), ("-0.00", "0"), ("5", "5"), ("10", "10")],
)
def test_amounts_are_shown_plainly(amount: str, text: str) -> None:
    """No exponent, no trailing zeros, no negative zero."""
    assert to_plain(D(amount)) == text


@given(amounts)
def test_showing_loses_nothing(amount: D) -> None:
    """What is shown reads back as the same number."""
    assert D(to_plain(amount)) == amount
