"""What the budget reads of a finished span, beside what the service reads of it: both must come to one usage."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from callfare import attributes as names
from callfare.budget.call_usage import usage_of
from callfare.calls.span import CallRequest
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.read.otlp import wire
from cost_exporter.read.request import read_request

__all__ = ["disagreements"]


def disagreements(spans: Sequence[ReadableSpan]) -> list[tuple[UsageRecord, UsageRecord]]:
    """Usage by the budget and by the service, of the paid calls among these spans of ours where the two differ."""
    request = wire.parse_request(encode_spans(spans).SerializeToString())
    facts = read_request(request.resource_spans, namespace="default", received_at_unix_ns=2**62, tenant_is_trusted=True)
    by_id = {span.context.span_id.to_bytes(8, "big"): span for span in spans if span.context is not None}
    differing: list[tuple[UsageRecord, UsageRecord]] = []
    for call in facts.calls:
        span = by_id[call.span_id]
        if not call.scope.startswith("callfare.") or names.PRODUCER_ID not in (span.attributes or {}):
            continue
        ours = _of_budget(span)
        theirs = replace(call.usage, quantities={k: v for k, v in call.usage.quantities.items() if v})
        if replace(ours, quantities={k: v for k, v in ours.quantities.items() if v}) != theirs:
            differing.append((ours, theirs))
    return differing


def _of_budget(span: ReadableSpan) -> UsageRecord:
    stated: dict[str, Any] = dict(span.attributes or {})
    request = CallRequest(operation=stated[names.OPERATION_NAME], provider=stated[names.PROVIDER_NAME])
    return usage_of(request, stated, at_unix_ns=span.start_time or 0)
