"""One figure of a provider, with the precision that it was stated in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any, Final

from cost_exporter.domain.money import CONTEXT, ZERO, parse_decimal
from cost_exporter.errors import StatementError

__all__ = ["NOTHING", "Figure", "Stated", "day_of_seconds", "day_of_text", "figure_of", "items_of", "plus", "times"]

_DOUBLE_DIGITS: Final = 15
"""What a binary number keeps of a decimal one: the digits after it are noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number, and how far off it may be at most: half a unit of its last digit."""

    number: Decimal
    off_max: Decimal


NOTHING: Final = Figure(number=ZERO, off_max=ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a provider states for one day and model, or for something that has no model."""

    day: date
    label: str
    """As the provider names it."""
    model: str = ""
    operation: str = ""
    """In place of the model, for providers that state no model."""
    quantities: Mapping[str, Figure] = field(default_factory=dict[str, Figure])
    cost_usd: Figure | None = None
    is_mapped: bool = True
    """Whether `label` was understood as one of our models or operations."""


def figure_of(content: Any, where: str) -> Figure:
    """Return a number as the file has it. Whole numbers are exact. Raises `StatementError`."""
    if isinstance(content, bool) or not isinstance(content, int | str | Decimal):
        raise StatementError(f"{where} is no number: {content!r}")
    try:
        number = content if isinstance(content, Decimal) else parse_decimal(str(content).strip())
    except ValueError:
        raise StatementError(f"{where} is no number: {content!r}") from None
    if not number.is_finite():
        raise StatementError(f"{where} is no number: {content!r}")
    if isinstance(content, Decimal):  # a JSON number with a fraction was a binary number
        number = Context(prec=_DOUBLE_DIGITS).plus(number)
    exponent = number.as_tuple().exponent
    off_max = Decimal(5).scaleb(int(exponent) - 1) if int(exponent) < 0 else ZERO
    return Figure(number=number, off_max=off_max)


def plus(one: Figure, other: Figure) -> Figure:
    """Return the sum; the uncertainties add up."""
    return Figure(number=CONTEXT.add(one.number, other.number), off_max=CONTEXT.add(one.off_max, other.off_max))


def times(figure: Figure, factor: Decimal) -> Figure:
    """Return the figure in another unit."""
    return Figure(number=CONTEXT.multiply(figure.number, factor), off_max=CONTEXT.multiply(figure.off_max, factor))


def items_of(content: Any, name: str, where: str) -> list[dict[str, Any]]:
    """Return a list of objects under a name. Raises `StatementError`."""
    found = content.get(name) if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise StatementError(f"{where} has no list {name!r}")
    return found


def day_of_seconds(content: Any, where: str) -> date:
    """Return the day (UTC) of a Unix time."""
    if isinstance(content, bool) or not isinstance(content, int):
        raise StatementError(f"{where} is no Unix time: {content!r}")
    try:
        return datetime.fromtimestamp(content, UTC).date()
    except (OverflowError, ValueError, OSError):
        raise StatementError(f"{where} is no Unix time: {content!r}") from None


def day_of_text(content: Any, where: str) -> date:
    """Return the day (UTC) of an RFC 3339 instant or a date."""
    try:
        moment = datetime.fromisoformat(str(content).strip().replace(" UTC", "Z"))
    except ValueError:
        raise StatementError(f"{where} is no date: {content!r}") from None
    return moment.date() if moment.tzinfo is None else moment.astimezone(UTC).date()
