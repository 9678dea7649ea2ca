"""One small span that carries the total of a workflow, made when the workflow is final.

A backend that stores what it gets cannot edit a span, so the total of a trace cannot be put on its root later.
This span is a child of the root; its id follows from the trace, so a second sending is the same span. The
scope name marks it as ours, so that reading never takes it for a call.
"""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from callfare import attributes
from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.domain.money import to_plain
from cost_exporter.forward.enrich import cost_bucket
from cost_exporter.read.otlp import wire

__all__ = ["SCOPE_NAME", "FinalWorkflow", "workflow_span"]

SCOPE_NAME: Final = "callfare.cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalWorkflow:
    """A workflow whose total is not expected to change."""

    tenant: str
    trace_id: bytes
    root_span_id: bytes | None
    ended_at_unix_ns: int
    total_cost_usd: Decimal
    unpriced_count: int


def workflow_span(workflow: FinalWorkflow) -> OutgoingSpan:
    """Return the span with the workflow's total; its status says whether something of it is unknown."""
    request = wire.new_request()
    group = request.resource_spans.add()
    group.resource.attributes["service.name"].string_value = "callfare"
    scope = group.scope_spans.add()
    scope.scope.name = SCOPE_NAME
    span = scope.spans.add(
        name="workflow cost",
        trace_id=workflow.trace_id,
        span_id=_span_id(workflow),
        parent_span_id=workflow.root_span_id or b"",
        kind=1,
        start_time_unix_nano=workflow.ended_at_unix_ns,
        end_time_unix_nano=workflow.ended_at_unix_ns,
    )
    texts: dict[str, Any] = {
        attributes.WORKFLOW_COST: to_plain(workflow.total_cost_usd),
        attributes.COST_STATUS: "partial" if workflow.unpriced_count else "priced",
        attributes.COST_BUCKET: cost_bucket(workflow.total_cost_usd),
        attributes.TENANT_ID: workflow.tenant,
    }
    for key, text in texts.items():
        span.attributes[key] = wire.new_value(string_value=text).SerializeToString()
    return OutgoingSpan(
        resource=group.resource.SerializeToString(deterministic=True),
        scope=scope.scope.SerializeToString(deterministic=True),
        span=span.SerializeToString(deterministic=True),
    )


def _span_id(workflow: FinalWorkflow) -> bytes:
    """Return an id that follows from the workflow, so that sending it again cannot make a second span."""
    return hashlib.blake2b(
        workflow.trace_id + workflow.tenant.encode(), digest_size=8, person=b"workflow cost"
    ).digest()
