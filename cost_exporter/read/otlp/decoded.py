"""A decoded OTLP trace request: what every receiver hands to the pipeline, whatever the transport.

Nothing in here is judged yet. The spans are as sent, apart from those that no schema could decode: these are
dead letters already, so that they cannot cost the other spans of their batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cost_exporter.domain.facts import DeadLetter
from cost_exporter.read.otlp import wire

__all__ = ["DecodedRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedRequest:
    """One ExportTraceServiceRequest and who sent it."""

    namespace: str
    """Tenant of the credential; `default` without tokens."""
    tenant_is_trusted: bool
    """True without tokens: `callfare.tenant.id` is then believed. With tokens the credential alone decides."""
    received_at_unix_ns: int
    resource_spans: Sequence[wire.ResourceSpans] = ()
    dead_letters: Sequence[DeadLetter] = ()
    streamed_spans: frozenset[bytes] = frozenset()
    """Ids of spans that the order of their attributes shows to be of a stream, see `attribute_order.py`."""
