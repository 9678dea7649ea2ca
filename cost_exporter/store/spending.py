"""Where a report of spend is read: from days, hours, the sums by spender, or, where none of these has it, the records.

A query comes out, which the reader runs. Every source gives the same figures, because each is the exact sum of
the records at every commit; they differ in how many rows are read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final, LiteralString

from psycopg import sql

from cost_exporter.store.database.statements import statement

__all__ = ["Period", "spend_of_api_key_query", "spend_query"]

_TIMES: Final = frozenset({"hour", "day", "week", "month"})
_OF_EACH_CALL: Final = frozenset({"category", "provider", "model", "operation"})
_LONGEST: Final = {"month": timedelta(days=31), "day": timedelta(days=1), "hour": timedelta(hours=1)}
_KINDS: Final[dict[str, LiteralString]] = {
    "user_id": "user",
    "api_key_id": "api_key",
    "task": "task",
    "tier": "tier",
    "category": "category",
    "provider": "provider",
}
"""The columns that have sums of their own, and the kind of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From `since` (inclusive) until `until` (exclusive), UTC."""

    since: datetime
    until: datetime

    @classmethod
    def always(cls) -> "Period":
        """Return the period of everything there is: rule 13 lets no span start before or after it."""
        return cls(since=datetime(2000, 1, 1, tzinfo=UTC), until=datetime(9999, 1, 1, tzinfo=UTC))

    @property
    def has_whole_days(self) -> bool:
        """Whether sums of days can answer for it."""
        return all(moment.astimezone(UTC).time() == time(0) for moment in (self.since, self.until))

    @property
    def has_whole_hours(self) -> bool:
        """Whether sums of hours can answer for it."""
        ends = (moment.astimezone(UTC) for moment in (self.since, self.until))
        return all(end.replace(minute=0, second=0, microsecond=0) == end for end in ends)


def spend_query(period: Period, columns: Sequence[str]) -> sql.Composed:
    """Return the query for spend by these columns, in their order. It takes `since`, `until` and `tenant`."""
    return _grouped(_source(period, columns), columns)


def spend_of_api_key_query(columns: Sequence[str]) -> sql.Composed:
    """Return the query for what one key spent by these columns. It takes `api_key` as well."""
    records = sql.SQL(statement("spend_of_records"))
    return _grouped(sql.SQL(statement("spend_of_api_key")).format(source=records), columns)


def _grouped(source: sql.Composable, columns: Sequence[str]) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL(statement("spend")).format(
        columns=_listed(columns),
        source=source,
        grouping=sql.SQL("group by {}").format(names) if columns else sql.SQL(""),
        order=sql.SQL("order by {}").format(names) if columns else sql.SQL(""),
    )


def _source(period: Period, columns: Sequence[str]) -> sql.Composable:
    named = [column for column in columns if column not in _TIMES and column != "tenant_id"]
    if not period.has_whole_hours:
        return sql.SQL(statement("spend_of_records"))
    if len(named) <= 1 and set(named) <= _KINDS.keys():
        return _of_spenders(period, columns, named[0] if named else "category")
    if _OF_EACH_CALL.issuperset(named):
        by_day = period.has_whole_days and "hour" not in columns
        return sql.SQL(statement("spend_in_days" if by_day else "spend_in_hours"))
    return sql.SQL(statement("spend_of_records"))


def _of_spenders(period: Period, columns: Sequence[str], name: str) -> sql.Composable:
    def of_kind(column: str) -> sql.Composable:
        return sql.SQL(" union all ").join(
            sql.SQL(statement("spend_of_kind")).format(
                name=sql.Identifier(column),
                kind=sql.Literal(_KINDS[column]),
                grain=sql.Literal(grain),
                since=sql.Literal(part.since),
                until=sql.Literal(part.until),
            )
            for grain, part in _parts(period, _grains_for(columns))
        )

    if name in _OF_EACH_CALL:
        return of_kind(name)
    return sql.SQL(statement("spend_with_the_rest")).format(
        columns=_listed([column for column in columns if column != name]),
        name=sql.Identifier(name),
        named=of_kind(name),
        all=of_kind("category"),
    )


def _grains_for(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the lengths of time that can be read, the longest first: none longer than what is grouped by."""
    if "hour" in columns:
        return ("hour",)
    return ("day", "hour") if {"day", "week"}.intersection(columns) else ("month", "day", "hour")


def _parts(period: Period, grains: Sequence[str]) -> Iterator[tuple[str, Period]]:
    """Yield a period of whole hours as parts of whole months, days and hours: as few rows as answer for it."""
    grain, *shorter = grains
    first, last = _next_start(period.since, grain), _start(period.until, grain)
    if first >= last:
        if shorter:
            yield from _parts(period, shorter)
        return
    if period.since < first:
        yield from _parts(Period(since=period.since, until=first), shorter)
    yield grain, Period(since=first, until=last)
    if last < period.until:
        yield from _parts(Period(since=last, until=period.until), shorter)


def _start(moment: datetime, grain: str) -> datetime:
    """Return when the month, day or hour of an instant began."""
    moment = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if grain == "hour":
        return moment
    return moment.replace(hour=0) if grain == "day" else moment.replace(day=1, hour=0)


def _next_start(moment: datetime, grain: str) -> datetime:
    """Return the first start of a month, day or hour that is not before an instant."""
    start = _start(moment, grain)
    if start == moment:
        return start
    return _start(start + _LONGEST[grain], grain)


def _listed(columns: Sequence[str]) -> sql.Composable:
    return sql.SQL("").join(sql.SQL("{}, ").format(sql.Identifier(column)) for column in columns)
