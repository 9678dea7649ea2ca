"""A whole call as JSON and back: the payload of a dead letter that was our own fault, so that it can be replayed."""

import json
from base64 import b64decode, b64encode
from decimal import Decimal
from typing import Any, Final

from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.domain.span import Call
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.otlp_bytes import framed_span, trace_request
from cost_exporter.read.strip import PAYLOAD_BYTES_MAX, strip_content
from cost_exporter.store.codec.fact_json import call_fact, call_from, loads_exactly, quantities_json, with_member

__all__ = ["call_from_payload", "call_payload"]

_OUTGOING: Final = "outgoing"


def call_payload(call: Call, outgoing: OutgoingSpan | None = None) -> bytes:
    """Return the call as JSON, everything that it says, and its span as far as it may be kept, to be forwarded."""
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
    whole = with_member(json.dumps(content), "quantities", quantities_json(usage.quantities))
    if outgoing is not None:
        span = json.dumps(b64encode(_stripped(outgoing)).decode())
        if len(whole) + len(span) < PAYLOAD_BYTES_MAX - len(_OUTGOING) - 4:
            whole = with_member(whole, _OUTGOING, span)
    return whole.encode()


def call_from_payload(payload: bytes) -> tuple[Call, OutgoingSpan | None]:
    """Return the call of such a payload, and the span to be forwarded; None where it was not kept."""
    content = loads_exactly(payload)
    for name in ("trace_id", "span_id", "parent_span_id"):
        content[name] = None if content[name] is None else bytes.fromhex(content[name])
    if content["reported_cost_usd"] is not None:
        content["reported_cost_usd"] = Decimal(content["reported_cost_usd"])
    span = content.pop(_OUTGOING, None)
    call = call_from(content["fact"], content["quantities"], content)
    return call, None if span is None else _outgoing_from(b64decode(span))


def _stripped(outgoing: OutgoingSpan) -> bytes:
    """Return the span as a dead letter may keep it: also where the operator forwards content."""
    body = trace_request(outgoing.resource, outgoing.scope, [framed_span(outgoing.span)])
    (resource_spans,) = wire.parse_request(body).resource_spans
    (scope_spans,) = resource_spans.scope_spans
    return strip_content(scope_spans.spans[0], scope_spans.scope, resource_spans.resource)


def _outgoing_from(request: bytes) -> OutgoingSpan:
    resource_spans: Any = wire.parse_request(request).resource_spans[0]
    scope_spans = resource_spans.scope_spans[0]
    return OutgoingSpan(
        resource=resource_spans.resource.SerializeToString(deterministic=True),
        scope=scope_spans.scope.SerializeToString(deterministic=True),
        span=scope_spans.spans[0].SerializeToString(deterministic=True),
    )
