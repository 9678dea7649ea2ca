"""How figures are written in every report: exact, as text, and never a zero for something unknown.

`jsonable` is the one way a row of the database becomes JSON, so that the same column has the same text in the
CLI, the API and a file: money and other decimals as strings, times in UTC with a `Z`, trace ids as 32 hex digits.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from cost_exporter.domain.money import to_plain

__all__ = ["bound_text", "cost_text", "jsonable", "short_time_text", "time_text", "total_text", "with_thousands"]


def cost_text(cost_usd: Decimal | None, places: int | None = None) -> str:
    """Return a cost with its sign, `$0.0001605`, exact or rounded to `places`; an unknown one is a dash, not a zero."""
    if cost_usd is None:
        return "-"
    sign = "-" if cost_usd < 0 else ""
    return f"{sign}${_plain(abs(cost_usd), places)}"


def bound_text(cost_usd: Decimal | None, unpriced_count: int, places: int | None = None) -> str:
    """Return the cost of a group: a dash where nothing of it is known, `≥ $0.02` where something is not."""
    is_bound = unpriced_count > 0 and cost_usd is not None
    return ("≥ " if is_bound else "") + cost_text(cost_usd, places)


def total_text(total_cost_usd: Decimal, unpriced_count: int, places: int | None = None) -> str:
    """Return a total; one with anything unknown in it says that it is a lower bound: `≥ $0.02 (1 unpriced)`."""
    text = bound_text(total_cost_usd, unpriced_count, places)
    return f"{text} ({unpriced_count} unpriced)" if unpriced_count else text


def _plain(amount: Decimal, places: int | None) -> str:
    return to_plain(amount) if places is None else f"{amount:.{places}f}"


def with_thousands(number_text: str) -> str:
    """Return a decimal text with its whole part grouped for reading: `1234567.5` -> `1,234,567.5`."""
    whole, point, fraction = number_text.partition(".")
    try:
        return f"{int(whole):,}{point}{fraction}"
    except ValueError:
        return number_text


def time_text(moment: datetime) -> str:
    """Return an instant as RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def short_time_text(moment: datetime | None) -> str:
    """Return an instant to the second, UTC, for the cells of a table; nothing where there is none."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def jsonable(something: Any) -> Any:
    """Return what a database row holds in the types of JSON, without losing a digit."""
    match something:
        case Decimal():
            plain = to_plain(something)
        case datetime():
            plain = time_text(something)
        case date():
            plain = something.isoformat()
        case UUID():
            plain = something.hex
        case bytes() | memoryview():
            plain = bytes(something).hex()
        case Mapping():
            plain = {str(key): jsonable(inner) for key, inner in cast("Mapping[Any, Any]", something).items()}
        case list() | tuple():
            plain = [jsonable(inner) for inner in cast("Sequence[Any]", something)]
        case _:
            plain = something
    return plain
