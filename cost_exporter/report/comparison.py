"""A report beside that of the period before it: what each group cost then, and by how much that changed.

A change is stated only where both costs are wholly known: the difference of two lower bounds is no bound at all.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from cost_exporter.domain.money import CONTEXT
from cost_exporter.report.amounts import bound_text, cost_text, jsonable, total_text
from cost_exporter.report.sheet import Sheet
from cost_exporter.report.spend import Spend, SpendGroup

__all__ = ["ComparedSpend", "compared"]

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSpend(Spend):
    """Spend with that of the period before."""

    previous: Spend
    """Of the same columns."""

    def as_json(self) -> dict[str, Any]:
        """Return the report in the shape of the contract, with the costs of before."""
        body = Spend.as_json(self)
        before = self._before()
        for group, row in zip(self.groups, body["groups"], strict=True):
            then = before.get(group.keys, _no_calls(group.keys))
            row |= {
                "previous_cost_usd": jsonable(then.cost_usd),
                "previous_cost_is_lower_bound": then.cost_is_lower_bound,
                "change_usd": jsonable(_change(group, then)),
            }
        totals = {
            "previous_total_cost_usd": jsonable(self.previous.total_cost_usd),
            "previous_unpriced_count": self.previous.unpriced_count,
        }
        return body | totals

    def table(self, places: int | None = None) -> Sheet:
        """Return the report for people, with the costs of before beside those of now."""
        sheet, before = Spend.table(self, places), self._before()
        at = sheet.columns.index("cost") + 1
        rows: list[tuple[str, ...]] = []
        for group, row in zip(self.groups, sheet.rows, strict=True):
            then = before.get(group.keys, _no_calls(group.keys))
            cells = (
                bound_text(then.cost_usd, then.unpriced_count, places),
                _signed(_change(group, then), places),
            )
            rows.append((*row[:at], *cells, *row[at:]))
        total_before = total_text(self.previous.total_cost_usd, self.previous.unpriced_count, places)
        return replace(
            sheet,
            columns=(*sheet.columns[:at], "previous", "change", *sheet.columns[at:]),
            rows=tuple(rows),
            right_aligned=sheet.right_aligned | {"previous", "change"},
            point_aligned=sheet.point_aligned | {"previous", "change"},
            total=f"{sheet.total}; from {self.previous.since:%Y-%m-%d}: {total_before}",
        )

    def rows(self) -> Sheet:
        """Return the report for programs, with the columns of the comparison last."""
        sheet = Spend.rows(self)
        names = ("previous_cost_usd", "previous_cost_is_lower_bound", "change_usd")
        groups = self.as_json()["groups"]
        added = [tuple(_csv_cell(group[name]) for name in names) for group in groups]
        rows = tuple((*row, *more) for row, more in zip(sheet.rows, added, strict=True))
        return replace(sheet, columns=(*sheet.columns, *names), rows=rows)

    def _before(self) -> dict[tuple[Any, ...], SpendGroup]:
        return {group.keys: group for group in self.previous.groups}


def compared(spend: Spend, previous: Spend) -> ComparedSpend:
    """Return both periods in one report. A group of the earlier one alone is listed with no calls now."""
    now = {group.keys for group in spend.groups}
    gone = tuple(_no_calls(group.keys) for group in previous.groups if group.keys not in now)
    return ComparedSpend(
        since=spend.since,
        until=spend.until,
        columns=spend.columns,
        groups=(*spend.groups, *gone),
        previous=previous,
    )


def _no_calls(keys: tuple[Any, ...]) -> SpendGroup:
    return SpendGroup(
        keys=keys,
        cost_usd=_NOTHING,
        unpriced_count=0,
        request_count=0,
        total_tokens=0,
        audio_seconds=_NOTHING,
        call_seconds=_NOTHING,
        characters=0,
    )


def _change(now: SpendGroup, then: SpendGroup) -> Decimal | None:
    is_known = not now.cost_is_lower_bound and not then.cost_is_lower_bound
    if now.cost_usd is None or then.cost_usd is None or not is_known:
        return None
    return CONTEXT.subtract(now.cost_usd, then.cost_usd)


def _signed(change_usd: Decimal | None, places: int | None) -> str:
    return ("+" if change_usd is not None and change_usd > 0 else "") + cost_text(change_usd, places)


def _csv_cell(content: Any) -> str:
    return str(content).lower() if isinstance(content, bool) else "" if content is None else str(content)
