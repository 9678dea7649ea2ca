"""Price rows as JSON: the names of price files and of the table `price`, money as strings, times as RFC 3339."""

from typing import Any

from cost_exporter.domain.money import to_plain
from cost_exporter.domain.pricing.rows import ALWAYS, FOREVER, PriceRow, instant_text

__all__ = ["row_json"]


def row_json(row: PriceRow) -> dict[str, Any]:
    """Return one row as JSON."""
    tier = row.context_tier
    return {
        "book": row.book,
        "provider": row.provider,
        "model": row.model,
        "match": row.match,
        "unit": row.unit,
        "price": to_plain(row.price_usd),
        "per": to_plain(row.per),
        "currency": "USD",
        "valid_from": None if row.valid_from_unix_ns == ALWAYS else instant_text(row.valid_from_unix_ns),
        "valid_to": None if row.valid_to_unix_ns == FOREVER else instant_text(row.valid_to_unix_ns),
        "conditions": dict(row.when),
        "context_tier": None
        if tier is None
        else {"basis": tier.basis, "above": tier.above, "inclusive": tier.is_inclusive},
        "time_window": None if row.window is None else str(row.window),
        "increment": None if row.increment is None else to_plain(row.increment),
        "minimum": None if row.minimum is None else to_plain(row.minimum),
        "round_scope": row.round_scope,
        "multiplier": row.multiplier,
        "bill_on_error": row.bill_on_error,
        "is_imported": row.is_imported,
        "assumed": row.assumed,
        "source": row.source,
        "checked": row.checked,
        "confidence": row.confidence,
        "note": row.note,
        "price_id": row.price_id,
    }
