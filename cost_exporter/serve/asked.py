"""The query parameters of a request, parsed alike for the API and the pages.

A parameter that cannot be read is a `BadRequest` whose text says how to write it.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from cost_exporter.report.spend import COLUMN_BY_DIMENSION
from cost_exporter.serve.access import Access
from cost_exporter.serve.answers import BadRequest, NotFound, quoted
from cost_exporter.store.browsing import SORTS, Sort
from cost_exporter.store.reading import Period

__all__ = [
    "columns_of",
    "flag_of",
    "limit_of",
    "outcome_of",
    "period_of",
    "searched_trace_of",
    "sort_of",
    "tenant_of",
    "text_of",
    "trace_id_of",
]

_DEFAULT_PERIOD_DAYS: Final = 30
_OUTCOMES: Final = ("running", "completed", "failed")


def period_of(start: str | None, end: str | None, today: date, *, days: int = _DEFAULT_PERIOD_DAYS) -> Period:
    """Return the period between two dates, the second exclusive; by default the last `days` days, with today."""
    until = _midnight(end, "end_date") if end else _midnight(str(today + timedelta(days=1)), "end_date")
    try:
        since = _midnight(start, "start_date") if start else until - timedelta(days=days)
    except OverflowError:
        raise BadRequest("the period begins before the year 1; give a start_date") from None
    if since >= until:
        raise BadRequest("start_date must be before end_date, which is exclusive")
    return Period(since=since, until=until)


def columns_of(group_by: str) -> tuple[str, ...]:
    """Return the SQL columns of the dimensions in a list with commas."""
    names = [name.strip() for name in group_by.split(",") if name.strip()]
    for name in names:
        if name not in COLUMN_BY_DIMENSION:
            raise BadRequest(f"group_by {quoted(name)} is unknown; choose from {', '.join(COLUMN_BY_DIMENSION)}")
    return tuple(dict.fromkeys(COLUMN_BY_DIMENSION[name] for name in names))


def tenant_of(access: Access, asked: str | None) -> str | None:
    """Return the only tenant to show, None for all that the sender sees. Raises `NotFound` for any other."""
    named = text_of(asked, "tenant")
    if named is not None and not access.sees(named):
        raise NotFound
    return named or access.tenant


def text_of(asked: str | None, name: str) -> str | None:
    """Return what was written for a parameter; None where nothing was."""
    if asked and "\0" in asked:  # the database refuses it, even to compare
        raise BadRequest(f"{name} cannot hold a NUL character; leave it out")
    return asked or None


def limit_of(asked: str | None, default: int, most: int) -> int:
    """Return how many rows to show at most."""
    if not asked:
        return default
    if not (asked.isascii() and asked.isdigit() and 1 <= int(asked[:10]) <= most):
        raise BadRequest(f"limit {quoted(asked)} is no number from 1 to {most}")
    return int(asked)


def flag_of(asked: str | None, name: str) -> bool:
    """Return whether something is asked for."""
    if asked not in {None, "", "true", "false"}:
        raise BadRequest(f"{name} {quoted(asked or '')} is unknown; write true or false")
    return asked == "true"


def sort_of(asked: str | None) -> Sort:
    """Return what workflows are to be sorted by."""
    for sort in SORTS:
        if sort == (asked or "started"):
            return sort
    raise BadRequest(f"sort {quoted(asked or '')} is unknown; choose from {', '.join(SORTS)}")


def outcome_of(asked: str | None) -> str | None:
    """Return the only outcome to show, None for all."""
    if asked and asked not in _OUTCOMES:
        raise BadRequest(f"outcome {quoted(asked)} is unknown; choose from {', '.join(_OUTCOMES)}")
    return asked or None


def searched_trace_of(asked: str | None) -> UUID | None:
    """Return the trace id to look for; None where none is asked for."""
    try:
        return trace_id_of(asked) if asked else None
    except NotFound:
        raise BadRequest(f"trace_id {quoted(asked or '')} is none; write 32 hex digits") from None


def trace_id_of(text: str) -> UUID:
    """Return a trace id, written with or without dashes. Raises `NotFound` for anything else."""
    digits = text.replace("-", "")
    try:
        return UUID(bytes=bytes.fromhex(digits))
    except ValueError:
        raise NotFound from None


def _midnight(text: str, name: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError:
        raise BadRequest(f"{name} {quoted(text)} is no date; write YYYY-MM-DD") from None
