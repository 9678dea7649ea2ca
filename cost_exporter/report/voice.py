"""How a voice call went, and what a minute of it cost: lines of text under a report, and the same as JSON.

Takes the row of `voice_call` as the database has it. What is not known is left out of the lines, and null in JSON.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cost_exporter.domain.cost import LEGS
from cost_exporter.report.amounts import cost_text, jsonable, total_text

__all__ = ["voice_json", "voice_lines"]

Row = Mapping[str, Any]
_SHOWN_PLACES = 6
_OF_THE_WORKFLOW = frozenset({"tenant_id", "trace_id", "workflow_id", "workflow_name", "state", "namespace"})


def voice_json(call: Row) -> dict[str, Any]:
    """Return a row of `voice_call` under the SQL column names, without what the workflow says of itself."""
    by_leg = {leg: cost if cost is None else str(cost) for leg, cost in (call["cost_per_minute_by_leg"] or {}).items()}
    shown = {name: jsonable(content) for name, content in call.items() if name not in _OF_THE_WORKFLOW}
    return shown | {"cost_per_minute_by_leg": by_leg}


def voice_lines(call: Row, places: int | None = None) -> list[str]:
    """Return name and figure, a line each."""
    named = [
        ("duration", _seconds(call["duration_seconds"])),
        ("turns", _turns(call)),
        ("dead air", _seconds(call["dead_air_seconds"])),
        ("time to first token", _percentiles(call, "time_to_first_token")),
        ("time to first audio", _percentiles(call, "time_to_first_audio")),
        ("cost per minute", _per_minute(call, places)),
    ]
    width = max(len(name) for name, _ in named)
    return [f"  {name:<{width}}  {text}" for name, text in named if text]


def _seconds(seconds: Decimal | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _turns(call: Row) -> str:
    if call["turn_count"] is None:
        return ""
    interrupted = call["interruption_count"]
    return str(call["turn_count"]) + ("" if interrupted is None else f", {interrupted} interrupted")


def _percentiles(call: Row, name: str) -> str:
    median, slow = call[f"{name}_p50_seconds"], call[f"{name}_p95_seconds"]
    return "" if median is None or slow is None else f"p50 {median} s, p95 {slow} s"


def _per_minute(call: Row, places: int | None) -> str:
    per_minute: Decimal | None = call["cost_per_minute_usd"]
    if per_minute is None:
        return ""
    shown = _SHOWN_PLACES if places is None else places
    by_leg: Mapping[str, Any] = call["cost_per_minute_by_leg"] or {}
    legs = [(leg, by_leg[leg]) for leg in LEGS if by_leg.get(leg) is not None]
    parts = ", ".join(f"{leg} {cost_text(round(Decimal(str(cost)), shown), shown)}" for leg, cost in legs)
    total = total_text(round(per_minute, shown), int(call["unpriced_count"] or 0), shown)
    return f"{total} ({parts})" if parts else total
