"""Compare two sets of price rows: what is new, gone, or priced otherwise."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cost_exporter.domain.money import to_plain
from cost_exporter.domain.pricing.rows import PriceRow

__all__ = ["PriceChange", "diff_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChange:
    """One difference. `before` and `after` are prices as text, "" where there is none."""

    kind: str
    """added, removed or changed."""
    price_id: str
    before: str = ""
    after: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the change as JSON."""
        return {"kind": self.kind, "price_id": self.price_id, "before": self.before, "after": self.after}


def diff_rows(before: Iterable[PriceRow], after: Iterable[PriceRow]) -> list[PriceChange]:
    """Return the differences, sorted by row."""
    old = {row.price_id: _price(row) for row in before}
    new = {row.price_id: _price(row) for row in after}
    changes = [
        PriceChange(
            kind=_kind(old, new, price_id), price_id=price_id, before=old.get(price_id, ""), after=new.get(price_id, "")
        )
        for price_id in old.keys() | new.keys()
        if old.get(price_id) != new.get(price_id)
    ]
    return sorted(changes, key=lambda change: change.price_id)


def _kind(old: dict[str, str], new: dict[str, str], price_id: str) -> str:
    if price_id not in old:
        return "added"
    return "changed" if price_id in new else "removed"


def _price(row: PriceRow) -> str:
    parts = [f"${to_plain(row.price_usd)} per {to_plain(row.per)}"]
    if row.increment is not None:
        parts.append(f"increment {to_plain(row.increment)}")
    if row.minimum is not None:
        parts.append(f"minimum {to_plain(row.minimum)}")
    if row.multiplier:
        parts.append(f"times {row.multiplier}")
    return ", ".join(parts)
