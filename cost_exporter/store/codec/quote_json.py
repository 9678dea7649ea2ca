"""The quote of a record as JSON and back: the content of the revisions that re-rating and settling leave."""

import json
from decimal import Decimal
from typing import Any

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.quote import Quote
from cost_exporter.store.codec.fact_json import loads_exactly, quantities_json, with_member
from cost_exporter.store.codec.record_columns import lines_from, lines_json

__all__ = ["billed_json", "decision_json", "quote_from", "quote_json"]


def quote_json(quote: Quote) -> str:
    """Return the whole quote."""
    return json.dumps(_quote(quote))


def quote_from(text: str) -> Quote:
    """Return the quote of such a text."""
    content = loads_exactly(text)
    lines = content["lines"]
    return Quote(
        amount_usd=None if content["cost_usd"] is None else Decimal(content["cost_usd"]),
        status=content["status"],
        lines=() if lines is None else lines_from(json.dumps(lines)),
        issues=tuple(content["issues"]),
        book_version=content["book_version"],
    )


def decision_json(record: CostRecord) -> str:
    """Return what was decided on a record: billed as what and for how much, or whose duplicate it was and why."""
    content = _quote(record.quote) | {
        "issues": record.issues,
        "duplicate_of": None if record.duplicate_of is None else record.duplicate_of.hex(),
        "duplicate_trace_id": None if record.duplicate_trace_id is None else record.duplicate_trace_id.hex(),
    }
    return with_member(json.dumps(content), "usage", quantities_json(record.quantities))


def billed_json(record: CostRecord) -> str:
    """Return what an export says of a record beyond its posting: lines, version of the book, and how it was served."""
    usage = record.call.usage
    served = {"service_tier": usage.service_tier or None, "mode": usage.mode or None}
    return json.dumps(_quote(record.quote) | served)


def _quote(quote: Quote) -> dict[str, Any]:
    lines = lines_json(quote.lines)
    return {
        "status": quote.status,
        "cost_usd": None if quote.amount_usd is None else str(quote.amount_usd),
        "lines": None if lines is None else json.loads(lines),
        "issues": quote.issues,
        "book_version": quote.book_version,
    }
