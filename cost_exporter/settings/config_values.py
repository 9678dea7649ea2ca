"""The kinds of values in the configuration file: parts that refuse what they do not know, and exact decimals."""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict

__all__ = ["DecimalString", "Part", "PartName", "Percent", "decimal_string"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_AMOUNT_MAX = Decimal(10) ** 12
_PERCENT_MAX = Decimal(1000)


def decimal_string(given: Any) -> Decimal:
    """Read money. Raises `ValueError` with how to write it."""
    if isinstance(given, Decimal):
        return given
    if not isinstance(given, str):
        raise ValueError(f"must be a quoted decimal string; write {str(given)!r} in quotes")  # noqa: TRY004 - pydantic's way
    try:
        amount = Decimal(given)
    except InvalidOperation:
        raise ValueError(f'{given!r} is not a decimal number; write it like "0.50"') from None
    if not amount.is_finite() or not 0 <= amount < _AMOUNT_MAX:
        raise ValueError(f"{given!r} must be at least 0 and below 10^12")
    return amount


def _percent(given: Any) -> Decimal:
    """Read a percentage: a whole number, or a quoted decimal."""
    percent = Decimal(given) if isinstance(given, int) and not isinstance(given, bool) else decimal_string(given)
    if not 0 < percent <= _PERCENT_MAX:
        raise ValueError(f"{given!r} must be above 0 and at most 1000 percent")
    return percent


def _name(given: Any) -> Any:
    if isinstance(given, str) and not _NAME.fullmatch(given):
        raise ValueError("must be 1 to 63 characters of a-z, A-Z, 0-9, '.', '_' and '-', none of the last three first")
    return given


PartName = Annotated[str, BeforeValidator(_name)]
"""Name of a part of the file, as commands ask for it: needs no quotes in a command line."""
DecimalString = Annotated[Decimal, BeforeValidator(decimal_string)]
Percent = Annotated[Decimal, BeforeValidator(_percent)]


class Part(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
