"""Money: exact decimals, quantised once per line, never a float.

A cost line is quantised here to 12 places, half-even; every other figure in callfare is an exact sum of
lines. Unknown money is `None`, which is not zero. All arithmetic runs in `CONTEXT`, whose 50 digits hold
the largest quantity (1e12) times the finest price without rounding.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

__all__ = [
    "CONTEXT",
    "LINE_PLACES",
    "MAX_MONEY",
    "ZERO",
    "ceil_to_multiple",
    "parse_decimal",
    "quantise_line",
    "to_plain",
    "total",
]

LINE_PLACES = 12
CONTEXT = Context(prec=50, rounding=ROUND_HALF_EVEN)
ZERO = Decimal(0)
MAX_MONEY = Decimal(10) ** 12  # exclusive; the database's CHECK constraints use the same bound
_LINE_EXPONENT = Decimal(1).scaleb(-LINE_PLACES)
_MAX_TEXT_LENGTH = 64


def quantise_line(cost_usd: Decimal) -> Decimal:
    """Return the cost of one line at 12 places, half-even. Apply it once, to a line, and nowhere else."""
    return cost_usd.quantize(_LINE_EXPONENT, context=CONTEXT)


def total(costs_usd: Iterable[Decimal]) -> Decimal:
    """Return the exact sum of costs; 0 for none."""
    result = ZERO
    for cost_usd in costs_usd:
        result = CONTEXT.add(result, cost_usd)
    return result


def ceil_to_multiple(quantity: Decimal, increment: Decimal) -> Decimal:
    """Return `quantity` rounded up to a whole multiple of `increment` (both > 0), exactly: in integers."""
    numerator, denominator = quantity.as_integer_ratio()
    step_numerator, step_denominator = increment.as_integer_ratio()
    steps = -(-numerator * step_denominator // (denominator * step_numerator))
    return CONTEXT.multiply(Decimal(steps), increment)


def parse_decimal(text: str) -> Decimal:
    """Return the finite decimal written in `text`, or raise `ValueError`. Takes no underscores, NaN or infinity."""
    if len(text) > _MAX_TEXT_LENGTH or "_" in text:
        raise ValueError(f"not a decimal number: {text[:40]!r}")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not a decimal number: {text[:40]!r}") from None
    if not number.is_finite() or abs(number.adjusted()) > _MAX_TEXT_LENGTH:
        raise ValueError(f"not a decimal number in range: {text[:40]!r}")
    return number


def to_plain(amount: Decimal) -> str:
    """Return an amount as text without exponent and without trailing zeros: `Decimal("0.0100")` -> `"0.01"`."""
    text = str(amount)
    if "E" in text:
        text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text
