"""A whole call as JSON and back: the payload of a dead letter that was our own fault, so that it can be replayed."""

import json
from decimal import Decimal
from typing import Any

from cost_exporter.domain.span import Call
from cost_exporter.store.fact_json import call_fact, call_from, loads_exactly, quantities_json, with_member

__all__ = ["call_from_payload", "call_payload"]


def call_payload(call: Call) -> bytes:
    """Return the call as JSON, everything that it says."""
    usage = call.usage
    content: dict[str, Any] = {
        "trace_id": call.trace_id.hex(),
        "span_id": call.span_id.hex(),
        "parent_span_id": None if call.parent_span_id is None else call.parent_span_id.hex(),
        "started_at_unix_ns": call.started_at_unix_ns,
        "ended_at_unix_ns": call.ended_at_unix_ns,
        "service_name": call.service_name,
        "error_type": call.error_type,
        "reported_cost_usd": None if call.reported_cost_usd is None else str(call.reported_cost_usd),
        "content_hash": call.content_hash,
        "provider": usage.provider,
        "model": usage.model,
        "operation": usage.operation,
        "service_tier": usage.service_tier,
        "mode": usage.mode,
        "fact": call_fact(call),
    }
    return with_member(json.dumps(content), "quantities", quantities_json(usage.quantities)).encode()


def call_from_payload(payload: bytes) -> Call:
    """Return the call of such a payload."""
    content = loads_exactly(payload)
    for name in ("trace_id", "span_id", "parent_span_id"):
        content[name] = None if content[name] is None else bytes.fromhex(content[name])
    if content["reported_cost_usd"] is not None:
        content["reported_cost_usd"] = Decimal(content["reported_cost_usd"])
    return call_from(content["fact"], content["quantities"], content)
