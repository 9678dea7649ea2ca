"""Amounts as an application states them: exact, or refused with a hint on how to write them."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import cast

from cost_exporter.domain.money import MAX_MONEY, parse_decimal

__all__ = ["Stated", "amount_of", "amounts_of"]

Stated = Decimal | str | int


def amount_of(stated: object, what: str) -> Decimal:
    """The amount in USD. Raises TypeError for a float, which is not exact, and ValueError for what is no amount."""
    if isinstance(stated, bool) or not isinstance(stated, (Decimal, str, int)):
        raise TypeError(f'{what} must be a Decimal, a string or an int, e.g. "1.50"; a float is not exact')
    try:
        amount = parse_decimal(stated) if isinstance(stated, str) else Decimal(stated)
    except (ValueError, InvalidOperation):
        raise ValueError(f'{what} is not a number: write it like "1.50"') from None
    if not amount.is_finite() or not 0 <= amount < MAX_MONEY:
        raise ValueError(f"{what} must be from 0 to {MAX_MONEY:f} USD, exclusive")
    return amount


def amounts_of(stated: object, what: str) -> dict[str, Decimal]:
    """One amount for each task."""
    if stated is None:
        return {}
    if not isinstance(stated, Mapping):
        raise TypeError(f'{what} must map tasks to amounts, e.g. {{"analysis": "0.75"}}')
    amounts = cast("Mapping[object, object]", stated)
    return {str(task): amount_of(amount, f"{what}[{task!r}]") for task, amount in amounts.items()}
