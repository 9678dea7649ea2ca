"""Spend: what was paid in a period, by the dimensions asked for. Its total is the exact sum of its groups."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.money import to_plain, total
from cost_exporter.domain.value import value
from cost_exporter.report.amounts import cost_text, jsonable, total_text
from cost_exporter.report.forms import Sheet

__all__ = ["COLUMN_BY_DIMENSION", "Spend", "SpendGroup", "spend_of"]

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
}
"""What can be asked for, and the SQL column that reports show it under."""


@value
class SpendGroup:
    """One combination of the dimensions and what it cost."""

    keys: tuple[Any, ...]
    cost_usd: Decimal
    """The known part."""
    unpriced_count: int


@value
class Spend:
    """What was paid from `since` (inclusive) until `until` (exclusive), UTC."""

    since: datetime
    until: datetime
    columns: tuple[str, ...]
    groups: tuple[SpendGroup, ...]

    @property
    def total_cost_usd(self) -> Decimal:
        """The exact sum of the groups."""
        return total(group.cost_usd for group in self.groups)

    @property
    def unpriced_count(self) -> int:
        """How many operations the total does not, or not fully, contain."""
        return sum(group.unpriced_count for group in self.groups)

    def as_json(self) -> dict[str, Any]:
        """Return the report in the shape of the contract."""
        return {
            "total_cost_usd": to_plain(self.total_cost_usd),
            "unpriced_count": self.unpriced_count,
            "groups": [self._group_as_json(group) for group in self.groups],
        }

    def sheet(self) -> Sheet:
        """Return the report as a sheet of exact figures without a currency sign, for programs and people alike."""
        return Sheet(
            title=f"Spend from {self.since:%Y-%m-%d} until {self.until:%Y-%m-%d} (UTC, exclusive)",
            columns=(*self.columns, "cost_usd", "unpriced_count"),
            rows=tuple(self._row(group) for group in self.groups),
            right_aligned=frozenset({"cost_usd", "unpriced_count"}),
            total=f"total {total_text(self.total_cost_usd, self.unpriced_count)}",
        )

    def _group_as_json(self, group: SpendGroup) -> dict[str, Any]:
        keys = dict(zip(self.columns, map(jsonable, group.keys), strict=True))
        return keys | {"cost_usd": to_plain(group.cost_usd), "unpriced_count": group.unpriced_count}

    def _row(self, group: SpendGroup) -> tuple[str, ...]:
        keys = ["" if key is None else str(jsonable(key)) for key in group.keys]
        return (*keys, cost_text(group.cost_usd).replace("$", ""), str(group.unpriced_count))


def spend_of(rows: Sequence[Mapping[str, Any]], *, since: datetime, until: datetime, columns: tuple[str, ...]) -> Spend:
    """Return the report over rows that hold `columns`, `cost_usd` and `unpriced_count`."""
    groups = tuple(
        SpendGroup(
            keys=tuple(row[column] for column in columns),
            cost_usd=row["cost_usd"] or Decimal(0),
            unpriced_count=int(row["unpriced_count"] or 0),
        )
        for row in rows
    )
    return Spend(since=since, until=until, columns=columns, groups=groups)
