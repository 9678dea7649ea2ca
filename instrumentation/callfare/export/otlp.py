"""`OTEL_TRACES_EXPORTER=callfare_otlp`: the ordinary OTLP exporter, with the cost already on the spans.

Everything about the connection is the ordinary exporter's: `OTEL_EXPORTER_OTLP_PROTOCOL`, `_ENDPOINT`,
`_HEADERS`... A span is read-only once it has ended, so a priced span goes out as a copy with more attributes.
Pricing never loses a span: where it fails, the span goes out as it is. With CALLFARE_SPOOL_DIR spans wait on disk
while the receiver is away.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from callfare import environment
from callfare.export.spooled import spooled

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CostOtlpExporter"]

logger = logging.getLogger(__name__)

SpanKey = tuple[bytes, bytes]
CostAttributes = Mapping[SpanKey, Sequence[tuple[str, str | float]]]


class CostOtlpExporter(SpanExporter):
    """Prices the spans of a batch, then hands them to the ordinary OTLP exporter."""

    def __init__(self, delegate: SpanExporter | None = None) -> None:
        """Take the exporter to hand over to; by default the one that `OTEL_EXPORTER_OTLP_*` describes."""
        self._delegate = spooled(_ordinary_exporter() if delegate is None else delegate)
        self._costs_of = _pricer()
        self._logged: set[str] = set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans with what they cost."""
        return self._delegate.export(self._with_costs(spans))

    def shutdown(self) -> None:
        """Let go of the connection."""
        self._delegate.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until everything exported has been sent."""
        return self._delegate.force_flush(timeout_millis)

    def _with_costs(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        if self._costs_of is None:
            return spans
        try:
            costs = self._costs_of(_encoded(spans))
        except Exception as error:  # noqa: BLE001 - the spans matter more than their cost
            self._say_once(error)
            return spans
        return [_with_cost(span, costs) for span in spans]

    def _say_once(self, error: Exception) -> None:
        """Log one line for each kind of error. Not its text, which might quote a prompt; the next batch may do well."""
        kind = type(error).__name__
        if kind not in self._logged:
            self._logged.add(kind)
            logger.error("spans go out without their cost: %s while pricing a batch", kind)


def _with_cost(span: ReadableSpan, costs: CostAttributes) -> ReadableSpan:
    context = span.get_span_context()
    if context is None:
        return span
    cost = costs.get((context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")))
    if cost is None:
        return span
    return ReadableSpan(
        name=span.name,
        context=context,
        parent=span.parent,
        resource=span.resource,
        attributes={**(span.attributes or {}), **dict(cost)},
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _encoded(spans: Sequence[ReadableSpan]) -> bytes:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # noqa: PLC0415 - costs 50 ms

    return encode_spans(spans).SerializeToString()


def _pricer() -> "Callable[[bytes], CostAttributes] | None":
    """Return the function that prices a request; None if it is off, or if the extra is missing (logged once)."""
    if environment.is_disabled():
        return None
    try:
        from cost_exporter.forward.cost_log import start_cost_log  # noqa: PLC0415 - needs the extra
        from cost_exporter.forward.in_app import costs_of  # noqa: PLC0415 - needs the extra
        from cost_exporter.prices import load_book  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        logger.warning(
            "spans go out without their cost (%s); OTEL_TRACES_EXPORTER=callfare_otlp needs the extra 'exporter': "
            "pip install 'callfare[exporter]'",
            error,
        )
        return None
    book, logs_costs = load_book(), environment.logs_costs()
    if logs_costs:
        start_cost_log()
    return lambda request: costs_of(request, book.price_of_call, logs_costs=logs_costs)


def _ordinary_exporter() -> SpanExporter:
    """Return the OTLP exporter that the environment asks for: gRPC unless a protocol says HTTP."""
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    transport = "http" if protocol and protocol.strip().startswith("http") else "grpc"
    module = import_module(f"opentelemetry.exporter.otlp.proto.{transport}.trace_exporter")
    return module.OTLPSpanExporter()
