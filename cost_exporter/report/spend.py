"""Spend: what was paid in a period, by the dimensions asked for. Its total is the exact sum of its groups.

A group of which nothing is priced has no cost, and one that is priced in part has a lower bound: neither may read
as a cost that is known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.money import to_plain, total
from cost_exporter.report.amounts import bound_text, jsonable, total_text, with_thousands
from cost_exporter.report.sheet import Fold, Sheet, without_empty

__all__ = ["COLUMN_BY_DIMENSION", "MEASURES", "SPEND_FIGURES", "TIME_COLUMNS", "Spend", "SpendGroup", "spend_of"]

COLUMN_BY_DIMENSION: Final[dict[str, str]] = {
    "day": "day",
    "tenant": "tenant_id",
    "category": "category",
    "provider": "provider",
    "model": "model",
    "operation": "operation",
    "user": "user_id",
    "api_key": "api_key_id",
    "task": "task",
    "tier": "tier",
    "hour": "hour",
    "week": "week",
    "month": "month",
}
"""The dimensions of a report, and the SQL column that reports show it under. A week is named by its Monday."""
TIME_COLUMNS: Final = frozenset({"hour", "day", "week", "month"})

_QUANTITIES: Final = ("request_count", "total_tokens", "audio_seconds", "call_seconds", "characters")
SPEND_FIGURES: Final = frozenset({"cost_usd", "unpriced_count", *_QUANTITIES})
"""The columns of `Spend.rows` that hold figures."""
_FIGURES: Final = frozenset({"cost", "calls", "tokens", "audio s", "call s", "characters", "unpriced"})
_FOLDS: Final = (
    Fold(
        columns=("tokens", "audio s", "call s", "characters"),
        into="usage",
        words=(" tokens", " s audio", " s call", " characters"),
    ),
    Fold(columns=("calls", "unpriced"), into="calls", words=("", " unpriced")),
    Fold(columns=("provider", "model"), into="model", separator=" "),
)
"""How a table gets narrower, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendGroup:
    """One combination of the dimensions, what it cost and what was paid for."""

    keys: tuple[Any, ...]
    cost_usd: Decimal | None
    """The known part; None where nothing of the group is priced."""
    unpriced_count: int
    request_count: int
    total_tokens: int
    audio_seconds: Decimal
    call_seconds: Decimal
    characters: int

    @property
    def cost_is_lower_bound(self) -> bool:
        """Whether the group cost more than its known part, or may have."""
        return self.unpriced_count > 0

    def quantities(self) -> dict[str, int | Decimal]:
        """Return what was paid for, under the names of the contract."""
        return {name: getattr(self, name) for name in _QUANTITIES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """Spend from `since` (inclusive) until `until` (exclusive), UTC."""

    since: datetime
    until: datetime
    columns: tuple[str, ...]
    groups: tuple[SpendGroup, ...]
    omitted: tuple[SpendGroup, ...] = ()
    """Groups that are not listed. The totals hold them all the same."""

    @property
    def total_cost_usd(self) -> Decimal:
        """The exact sum of all groups."""
        return total(group.cost_usd for group in (*self.groups, *self.omitted) if group.cost_usd is not None)

    @property
    def unpriced_count(self) -> int:
        """How many operations the total does not, or not fully, contain."""
        return sum(group.unpriced_count for group in (*self.groups, *self.omitted))

    def ordered(self, by: str | None, limit: int | None) -> "Spend":
        """Return the report with its groups in order of a measure, most first, and at most `limit` of them listed."""
        groups = self.groups if by is None else tuple(sorted(self.groups, key=_MEASURES[by], reverse=True))
        return replace(self, groups=groups[:limit], omitted=(*(groups[limit:] if limit else ()), *self.omitted))

    def as_json(self) -> dict[str, Any]:
        """Return the report in the shape of the contract."""
        return {
            "total_cost_usd": to_plain(self.total_cost_usd),
            "unpriced_count": self.unpriced_count,
            "groups": [self._group_as_json(group) for group in self.groups],
            **({"omitted_group_count": len(self.omitted)} if self.omitted else {}),
        }

    def table(self, places: int | None = None) -> Sheet:
        """Return the report for people: costs rounded to `places`, or exact; a dash or `≥` where they are not known."""
        sheet = Sheet(
            title=f"Spend from {self.since:%Y-%m-%d} until {self.until:%Y-%m-%d} (UTC, exclusive)",
            columns=(*self.columns, "cost", "calls", "tokens", "audio s", "call s", "characters", "unpriced"),
            rows=tuple(self._row(group, places) for group in self.groups),
            right_aligned=_FIGURES,
            point_aligned=frozenset({"cost", "audio s", "call s"}),
            folds=(*_FOLDS, Fold(columns=self.columns, into=" / ".join(self.columns), separator="\n")),
            total=f"total {total_text(self.total_cost_usd, self.unpriced_count, places)}{self._more()}",
        )
        return without_empty(sheet, _FIGURES)

    def rows(self) -> Sheet:
        """Return the report for programs: the columns of SQL, exact, an unknown cost empty."""
        named = ("cost_usd", "unpriced_count", "cost_is_lower_bound", *_QUANTITIES)
        groups = [self._group_as_json(group) for group in self.groups]
        columns = (*self.columns, *named)
        rows = tuple(tuple(_csv_cell(group[name]) for name in columns) for group in groups)
        return Sheet(title="", columns=columns, rows=rows)

    def _more(self) -> str:
        return f", with {len(self.omitted)} more groups" if self.omitted else ""

    def _group_as_json(self, group: SpendGroup) -> dict[str, Any]:
        return {
            **dict(zip(self.columns, map(jsonable, group.keys), strict=True)),
            "cost_usd": jsonable(group.cost_usd),
            "unpriced_count": group.unpriced_count,
            "cost_is_lower_bound": group.cost_is_lower_bound,
            **jsonable(group.quantities()),
        }

    def _row(self, group: SpendGroup, places: int | None) -> tuple[str, ...]:
        keys = ["" if key is None else str(jsonable(key)) for key in group.keys]
        quantities = [_quantity(number) for number in group.quantities().values()]
        cost = bound_text(group.cost_usd, group.unpriced_count, places)
        return (*keys, cost, *quantities, str(group.unpriced_count or ""))


_MEASURES: Final[dict[str, Callable[[SpendGroup], Any]]] = {
    "cost": lambda group: (group.cost_usd is not None, group.cost_usd or Decimal(0)),
    "calls": lambda group: group.request_count,
    "tokens": lambda group: group.total_tokens,
    "audio_seconds": lambda group: group.audio_seconds,
    "call_seconds": lambda group: group.call_seconds,
    "characters": lambda group: group.characters,
    "unpriced": lambda group: group.unpriced_count,
}
MEASURES: Final = tuple(_MEASURES)
"""The measures by which groups can be sorted."""


def spend_of(rows: Sequence[Mapping[str, Any]], *, since: datetime, until: datetime, columns: tuple[str, ...]) -> Spend:
    """Return the report over rows that hold `columns`, `cost_usd`, the counts and the quantities."""
    return Spend(since=since, until=until, columns=columns, groups=tuple(_group(row, columns) for row in rows))


def _group(row: Mapping[str, Any], columns: tuple[str, ...]) -> SpendGroup:
    return SpendGroup(
        keys=tuple(row[column] for column in columns),
        cost_usd=row["cost_usd"],
        unpriced_count=int(row["unpriced_count"]),
        request_count=int(row["request_count"]),
        total_tokens=int(row["total_tokens"]),
        audio_seconds=row["audio_seconds"],
        call_seconds=row["call_seconds"],
        characters=int(row["characters"]),
    )


def _quantity(number: int | Decimal) -> str:
    """Return a quantity for people; nothing where there was none, so that the eye finds what there was."""
    return with_thousands(str(jsonable(number))) if number else ""


def _csv_cell(content: Any) -> str:
    if isinstance(content, bool):
        return str(content).lower()
    return "" if content is None else str(content)
