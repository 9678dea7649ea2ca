"""Price spans where they are made, for `OTEL_TRACES_EXPORTER=callfare_otlp`: no service, no database.

Each export batch is settled by itself, so two spans of one call are recognised only within a batch, and
attribution is inherited only from spans of the batch. The service behind a Collector knows whole traces.
"""

import time
from collections.abc import Callable

from cost_exporter.domain.cost import DEFAULT_TENANT
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.settling.settle import TraceFacts, settle
from cost_exporter.domain.span import SpanKey
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.forward.cost_log import log_calls
from cost_exporter.forward.enrich import describe_cost
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.attribute_order import streamed_spans
from cost_exporter.read.request import read_request

__all__ = ["costs_of"]


def costs_of(
    request: bytes, price: Callable[[UsageRecord], Quote], *, logs_costs: bool = False
) -> dict[SpanKey, list[tuple[str, str | float]]]:
    """Return the cost attributes of each provider call in a serialised ExportTraceServiceRequest."""
    facts = read_request(
        wire.parse_request(request).resource_spans,
        namespace=DEFAULT_TENANT,
        received_at_unix_ns=time.time_ns(),
        tenant_is_trusted=True,
        streamed_spans=streamed_spans(request),
    )
    batch = TraceFacts(
        namespace=DEFAULT_TENANT,
        tenant_is_trusted=True,
        calls={(call.trace_id, call.span_id): call for call in facts.calls},
        links={(link.trace_id, link.span_id): link for link in facts.links},
    )
    records = settle(batch, price)
    if logs_costs:
        log_calls((record, None) for record in records.values())
    return {key: describe_cost(record) for key, record in records.items()}
