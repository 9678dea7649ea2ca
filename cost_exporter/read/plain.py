"""Read a plain call: the fast path for nearly every span of a call.

A plain call that was read on the general path (`call.py`) becomes the template for all spans of its layout with the
same texts: they differ from it only in ids, times, counts and attribution, so they are copies with these replaced.
Other spans, with an error, an implausible time or an invalid count, take the general path. Both paths give identical
results.
"""

from typing import Final

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.quantity import Quantity
from cost_exporter.domain.span import Call, copy_call
from cost_exporter.domain.usage import copy_usage
from cost_exporter.read.fields.content_hash import attribution_text, content_hash
from cost_exporter.read.fields.quantities import PARTS, TOTALS, total_cache_writes
from cost_exporter.read.fields.reading import AttributeLayout, CallIdentity, Origin
from cost_exporter.read.fields.times import EARLIEST_UNIX_NS
from cost_exporter.read.otlp.attribute_values import COUNTS, short_text
from cost_exporter.read.otlp.wire import EncodedAttributes, Span

__all__ = ["read_from_template"]

_ERROR: Final = 2


def read_from_template(  # noqa: PLR0917 - called once a span, where keywords would cost
    span: Span,
    attributes: EncodedAttributes,
    trace_id: bytes,
    span_id: bytes,
    parent_span_id: bytes | None,
    layout: AttributeLayout,
    identity: CallIdentity,
    template: Call,
    attribution: Attribution,
    origin: Origin,
    latest_start_unix_ns: int,
) -> Call | None:
    """Return the call that a span reports, or None if the span is not plain and must take the general path."""
    started_at_unix_ns, ended_at_unix_ns = span.start_time_unix_nano, span.end_time_unix_nano
    if not EARLIEST_UNIX_NS <= started_at_unix_ns <= ended_at_unix_ns <= latest_start_unix_ns:
        return None
    quantities = _plain_quantities(attributes, layout)
    if quantities is None or span.status.code == _ERROR:
        return None
    response_id = call_id = ""
    if layout.response_id_keys:
        response_id = short_text(attributes[layout.response_id_keys[0]])
        if not response_id or not response_id.isprintable():
            return None
        call_id = f"response:{response_id}"
    return copy_call(
        template,
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent_span_id,
        started_at_unix_ns=started_at_unix_ns,
        ended_at_unix_ns=ended_at_unix_ns,
        usage=copy_usage(template.usage, quantities, started_at_unix_ns, template.usage.model),
        attribution=attribution,
        resource_attribution=origin.attribution,
        service_name=origin.service_name,
        call_id=call_id,
        content_hash=content_hash(
            trace_id + span_id if parent_span_id is None else trace_id + span_id + parent_span_id,
            started_at_unix_ns,
            ended_at_unix_ns,
            template.usage.operation,
            quantities,
            identity,
            origin,
            template.scope,
            response_id,
            "" if attribution is NO_ATTRIBUTION else attribution_text(attribution),
        ),
    )


def _plain_quantities(attributes: EncodedAttributes, layout: AttributeLayout) -> dict[str, Quantity] | None:
    """Return the counts of a span where all are from 1 up, apart from parts of a total, which may be 0."""
    quantities: dict[str, Quantity] = {}
    counts = COUNTS
    for quantity, key in layout.counts:
        number = counts[attributes[key]]
        if number > 0:
            quantities[quantity] = number
        elif number or quantity not in PARTS:
            return None
    if len(quantities) < len(layout.quantities) and TOTALS.isdisjoint(quantities):
        return None
    if layout.splits_writes:
        total_cache_writes(quantities)
    of = quantities.get
    if layout.has_cache and of("input_tokens", 0) < of("cache_read_tokens", 0) + of("cache_write_tokens", 0):
        return None  # perhaps stated without
    if layout.total_keys:  # any other sum than this one proves something
        total = of("input_tokens", 0) + of("output_tokens", 0)
        if COUNTS[attributes[layout.total_keys[0]]] != total:
            return None
    if layout.has_reasoning and of("reasoning_tokens", 0) > of("output_tokens", 0):
        return None
    return None if layout.alternatives and _disagree(attributes, layout) else quantities


def _disagree(attributes: EncodedAttributes, layout: AttributeLayout) -> bool:
    """Return whether two names of one quantity have two values."""
    return any(attributes[key] != attributes[other] for key, other in layout.alternatives)
