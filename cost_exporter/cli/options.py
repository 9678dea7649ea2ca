"""Options that several commands share, read from text into the types the domain wants. A mistake exits 2."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from uuid import UUID

import typer

from cost_exporter.domain.money import LINE_PLACES
from cost_exporter.report.spend import COLUMN_BY_DIMENSION
from cost_exporter.store.reading import Period

__all__ = [
    "DEFAULT_PERIOD_DAYS",
    "AsJson",
    "Month",
    "OnlyTenant",
    "Round",
    "Since",
    "Until",
    "Wide",
    "columns_of",
    "instant_of",
    "parse_trace_id",
    "period_of",
    "places_of",
]

DEFAULT_PERIOD_DAYS = 30
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: SQL column names, money as strings.")]
Since = Annotated[str | None, typer.Option(metavar="DATE", help="First day or instant, UTC. [default: 30 days back]")]
Until = Annotated[str | None, typer.Option(metavar="DATE", help="End, exclusive, UTC. [default: tomorrow]")]
Month = Annotated[str | None, typer.Option(metavar="YYYY-MM", help="A calendar month, instead of since and until.")]
Round = Annotated[str, typer.Option("--round", metavar="N|exact", help="Decimal places of money in tables.")]
Wide = Annotated[bool, typer.Option("--wide", help="One line a row, each column of its own, however wide.")]
OnlyTenant = Annotated[str | None, typer.Option(metavar="NAME", help="Only this tenant.")]


def parse_trace_id(text: str) -> UUID:
    """Return the trace id written as 32 hex digits, with or without dashes."""
    digits = text.strip().replace("-", "")
    if not _TRACE_ID.fullmatch(digits):
        raise typer.BadParameter(f"{text!r} is no trace id; write its 32 hex digits, with or without dashes")
    return UUID(hex=digits)


def period_of(since: str | None, until: str | None, month: str | None = None, *, today: date | None = None) -> Period:
    """Return the period asked for; by default the last 30 days, today included."""
    try:
        return _period(since, until, month, today or datetime.now(UTC).date())
    except OverflowError:
        raise typer.BadParameter("the period reaches beyond the years 1 to 9999; write another") from None


def places_of(rounding: str) -> int | None:
    """Return to how many decimal places tables round; None for exact figures."""
    if rounding == "exact":
        return None
    if not re.fullmatch(r"\d{1,2}", rounding, re.ASCII) or int(rounding) > LINE_PLACES:
        raise typer.BadParameter(f"--round {rounding!r} is neither exact nor a number from 0 to {LINE_PLACES}")
    return int(rounding)


def columns_of(group_by: str) -> tuple[str, ...]:
    """Return the SQL columns for a comma-separated list of dimensions."""
    names = [name.strip() for name in group_by.split(",") if name.strip()]
    for name in names:
        if name not in COLUMN_BY_DIMENSION:
            raise typer.BadParameter(f"--group-by {name!r} is unknown; choose from {', '.join(COLUMN_BY_DIMENSION)}")
    return tuple(dict.fromkeys(COLUMN_BY_DIMENSION[name] for name in names))


def _period(since: str | None, until: str | None, month: str | None, today: date) -> Period:
    if month is not None:
        if since is not None or until is not None:
            raise typer.BadParameter("--month stands for a whole period; leave out --since and --until")
        return _month(month)
    end = instant_of(until, "--until") if until else _midnight(today + timedelta(days=1))
    start = instant_of(since, "--since") if since else end - timedelta(days=DEFAULT_PERIOD_DAYS)
    if start >= end:
        raise typer.BadParameter(f"--since {start:%Y-%m-%d} is not before --until {end:%Y-%m-%d}, which is exclusive")
    return Period(since=start, until=end)


def _month(text: str) -> Period:
    try:
        first = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise typer.BadParameter(f"--month {text!r} is not YYYY-MM") from None
    return Period(since=first, until=(first + timedelta(days=31)).replace(day=1))


def instant_of(text: str, option: str) -> datetime:
    """Read a date, or an instant; one without an offset is UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r} is no date; write YYYY-MM-DD") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(0), tzinfo=UTC)
