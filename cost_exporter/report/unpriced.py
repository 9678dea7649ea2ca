"""What has no cost: how often, since when, which price is missing, and a row of a price file to fill in."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.domain.pricing.match import nearest
from cost_exporter.domain.quantity import FREE_WITHOUT_PRICE
from cost_exporter.report.amounts import jsonable
from cost_exporter.safe_text import for_terminal

__all__ = ["missing_units", "nearest_model", "price_rows_to_fill_in", "unpriced_body"]

Row = Mapping[str, Any]
_PER_MILLION: Final = ("_tokens", "characters")
_ANY_MODEL: Final = ".+"


def unpriced_body(row: Row, book: PriceBook) -> dict[str, Any]:
    """Return one group of calls without a cost as JSON."""
    counted = ("provider", "model", "operation", "status", "request_count", "tenant_count")
    body = {name: row[name] for name in counted}
    seen = {name: jsonable(row[name]) for name in ("first_seen_at", "last_seen_at")}
    return {
        **body,
        **seen,
        "example_trace_id": row["trace_id"].hex,
        "missing_units": missing_units(row),
        "issues": [str(issue) for issue in row["issues"] or ()],
        "nearest_model": nearest_model(row, book),
    }


def missing_units(row: Row) -> list[str]:
    """Return the quantities of the newest call that may need a price."""
    usage: Mapping[str, Any] = row["usage"] or {}
    return sorted(unit for unit, number in usage.items() if unit not in FREE_WITHOUT_PRICE and Decimal(str(number)))


def nearest_model(row: Row, book: PriceBook) -> str | None:
    """Return the priced model of the provider whose name is most like this one; None where none is."""
    provider, model = row["provider"] or "", row["model"] or ""
    if not model or provider not in book.providers:
        return None
    known = [name for name in book.prices_of(provider).models if name not in {_ANY_MODEL, model.lower()}]
    return nearest(model.lower(), known) or None


def price_rows_to_fill_in(row: Row) -> str:
    """Return rows of a price file for what is missing, with a question mark where the price goes.

    A name is shown as YAML reads it, and what is invisible in it as an escape.
    """
    since: datetime = row["first_seen_at"]
    lines = ["prices:"]
    for unit in missing_units(row) or ["input_tokens", "output_tokens"]:
        per = "1000000" if unit.endswith(_PER_MILLION) else "60" if unit.endswith("_seconds") else "1"
        lines += [
            f"  - provider: {_quoted(row['provider'] or '?')}",
            f"    model: {_quoted(row['model'] or '?')}",
            f"    unit: {unit}",
            '    price: "?"',
            f'    per: "{per}"',
            f"    valid_from: {since.astimezone(UTC):%Y-%m-%d}T00:00:00Z",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a text as YAML takes it, whatever is in it: unquoted, `yes` and `1.5` would be no names."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return for_terminal(f'"{escaped}"')
