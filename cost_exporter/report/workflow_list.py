"""A row in a list of workflows, with derived figures such as the cost of a minute.

A minute is one of the telephone call; where there was none, one between the first and the last span. The cost of a
minute is a display figure, rounded to 12 places, and a lower bound where the total is one.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.money import CONTEXT, quantise_line, to_plain
from cost_exporter.report.workflow import workflow_json

__all__ = ["WORKFLOW_COLUMNS", "cost_per_minute_usd", "listed_workflow"]

Row = Mapping[str, Any]
_SECONDS_PER_MINUTE: Final = Decimal(60)
WORKFLOW_COLUMNS: Final = (
    *("tenant_id", "trace_id", "workflow_id", "workflow_name", "state", "outcome", "started_at", "ended_at"),
    *("duration_seconds", "total_cost_usd", "cost_is_lower_bound", "unpriced_count", "cost_per_minute_usd"),
    *("revenue_usd", "fee_usd", "profit_usd", "request_count", "duplicate_count", "llm_calls", "total_tokens"),
    *("characters", "audio_seconds", "call_seconds", "by_leg", "by_category", "finalised_at"),
)
"""Of CSV and NDJSON, in this order."""


def listed_workflow(row: Row) -> dict[str, Any]:
    """Return a listed workflow as JSON, under the SQL column names."""
    per_minute = cost_per_minute_usd(row)
    body = workflow_json(row) | {"cost_per_minute_usd": None if per_minute is None else to_plain(per_minute)}
    return {name: body[name] for name in WORKFLOW_COLUMNS}


def cost_per_minute_usd(row: Row) -> Decimal | None:
    """Return what a minute cost; None where nothing took any time, or nothing is priced."""
    seconds = Decimal(row["call_seconds"] or 0) or Decimal(row["duration_seconds"] or 0)
    is_unknown = row["unpriced_count"] == row["request_count"] and not row["total_cost_usd"]
    if seconds <= 0 or is_unknown:
        return None
    minutes = CONTEXT.divide(seconds, _SECONDS_PER_MINUTE)
    return quantise_line(CONTEXT.divide(row["total_cost_usd"], minutes)).normalize(CONTEXT)
