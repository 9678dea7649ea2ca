"""One event for PostHog out of one call: what it used and cost, never what it contained.

    chat and the like   $ai_generation
    embeddings          $ai_embedding
    speech and others   $ai_span, with the cost

PostHog replaces an event by a later one with the same id, name, time and person, so these stay what they were when the
event was first sent. It keeps a cost that it is given, and guesses one where it is given a model without a cost: a call
of unknown cost therefore names its model in a property of ours.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid5

from cost_exporter import __version__
from cost_exporter.domain.cost import leg_of
from cost_exporter.domain.money import ZERO, to_plain, total

__all__ = ["event_of"]

Row = Mapping[str, Any]
_IDS: Final = UUID("0b8f1c1e-52c3-4c0e-9a38-5d2f6f0f7f61")
"""Of events of calls: an id is made of it, the namespace, the trace, the span and the version."""
_VERSION: Final = 1
"""Of the ids. Another one would make a second event of each call that is sent again."""
_TOKENS: Final = {
    "input_tokens": "$ai_input_tokens",
    "output_tokens": "$ai_output_tokens",
    "cache_read_tokens": "$ai_cache_read_input_tokens",
    "cache_write_tokens": "$ai_cache_creation_input_tokens",
    "reasoning_tokens": "$ai_reasoning_tokens",
}
_INPUT: Final = ("input_", "cache_")
_OUTPUT: Final = ("output_", "reasoning_")
_AMOUNT: Final = 5
"""Where a stored line has its amount; its unit is first."""


def event_of(row: Row, *, page_url: str) -> bytes | None:
    """Return the event as one line of JSON; None where there is nothing to send."""
    if not row["is_there"] and not row["is_gone"]:
        return None  # purged while it waited
    trace_id: str = row["trace_id"].hex
    person: str | None = row["person"]
    event = {
        "event": _name(row["event_operation"]),
        "uuid": str(uuid5(_IDS, f"{row['namespace']}/{trace_id}/{row['span_id']}/{_VERSION}")),
        "distinct_id": person or trace_id,
        "timestamp": row["event_at"].astimezone(UTC).isoformat(),
        "properties": {
            **_names(row, trace_id, page_url),
            **({} if person else {"$process_person_profile": False}),
            **(_cost_and_usage(row) if _is_billed(row) else _taken_back(row)),
        },
    }
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def _name(operation: str) -> str:
    if operation == "embeddings":
        return "$ai_embedding"
    return "$ai_generation" if leg_of(operation) == "llm" else "$ai_span"


def _is_billed(row: Row) -> bool:
    return row["is_there"] and row["status"] != "duplicate"


def _names(row: Row, trace_id: str, page_url: str) -> dict[str, Any]:
    named = {
        "$ai_trace_id": trace_id,
        "$ai_session_id": row["workflow_id"],
        "$ai_span_id": row["span_id"],
        "$ai_parent_id": trace_id,
        "$ai_span_name": row["operation"],
        "$ai_provider": row["provider"],
        "$lib": "callfare",
        "$lib_version": __version__,
        "callfare_url": f"{page_url}/workflows/{trace_id}",
        "callfare_tenant": row["tenant_id"],
        "callfare_category": row["category"],
        "callfare_task": row["task"],
        "callfare_tier": row["tier"],
        "callfare_service": row["service_name"],
        "callfare_workflow": row["workflow_name"],
    }
    return {name: word for name, word in named.items() if word}


def _cost_and_usage(row: Row) -> dict[str, Any]:
    is_known = row["cost_usd"] is not None
    found: dict[str, Any] = {
        "$ai_latency": _number(Decimal(row["duration_ns"]).scaleb(-9)),
        "$ai_is_error": row["error_type"] is not None,
        ("$ai_model" if is_known else "callfare_model"): row["model"],
        "callfare_status": row["status"],
        "callfare_book_version": row["book_version"],
    }
    if row["error_type"] is not None:
        found["$ai_error"] = row["error_type"]
    found.update(_quantities(row["usage"]))
    if is_known:
        cost_usd: Decimal = row["cost_usd"]
        found |= {"$ai_total_cost_usd": _number(cost_usd), "callfare_cost_usd": to_plain(cost_usd)}
        found |= _costs_by_side(row)
    if row["status"] == "partial":
        found["callfare_cost_is_lower_bound"] = True
    return found


def _quantities(usage: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, quantity in usage.items():
        number = _number(Decimal(str(quantity)))
        yield _TOKENS.get(name, f"callfare_{name}"), number


def _costs_by_side(row: Row) -> dict[str, float]:
    """Return the parts of the cost by PostHog's names; it would fill in a missing one from prices of its own."""
    lines = [(line[0], Decimal(line[_AMOUNT])) for line in row["lines"] or () if line[_AMOUNT] is not None]
    if not lines or leg_of(row["operation"]) != "llm":
        return {}
    parts = {
        "$ai_input_cost_usd": [amount for unit, amount in lines if unit.startswith(_INPUT)],
        "$ai_output_cost_usd": [amount for unit, amount in lines if unit.startswith(_OUTPUT)],
        "$ai_request_cost_usd": [amount for unit, amount in lines if not unit.startswith((*_INPUT, *_OUTPUT))],
    }
    return {name: _number(total(amounts)) for name, amounts in parts.items()}


def _taken_back(row: Row) -> dict[str, Any]:
    """Of a call that is billed no more, as a duplicate or because it is another workflow's: it costs nothing."""
    return {
        "$ai_total_cost_usd": _number(ZERO),
        "callfare_cost_usd": to_plain(ZERO),
        "callfare_model": row["model"],
        "callfare_status": row["status"] if row["is_there"] else "removed",
    }


def _number(exact: Decimal) -> float | int:
    """Return a JSON number. PostHog computes in doubles; the exact figure of the cost is beside it, as text."""
    return int(exact) if exact == exact.to_integral_value() else float(exact)
