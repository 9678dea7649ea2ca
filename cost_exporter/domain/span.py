"""The results of reading a span: a `Call` if it reports a provider call, otherwise a `Link` in its trace.

Both are facts: what arrived, before any decision. `settle.py` decides which call is billed and to which tenant,
from all facts of a trace together, so that the order of arrival cannot matter.
"""

from decimal import Decimal
from enum import IntEnum
from typing import Final

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.quantity import Quantities
from cost_exporter.domain.usage import CHAT_OPERATIONS, UsageRecord
from cost_exporter.domain.value import fills, new, value

__all__ = ["ESTIMATED_BY_US", "Call", "EmitterRank", "Link", "Root", "SpanKey", "copy_call", "plain_link"]

SpanKey = tuple[bytes, bytes]
"""(trace id, span id), within one namespace."""

ESTIMATED_BY_US: Final = frozenset({"estimated_from_length", "estimated_from_text"})
"""Issues of a call whose usage nobody states."""


class EmitterRank(IntEnum):
    """How much usage the emitter of a span reports. It decides between two spans of one call that both have usage."""

    FRAMEWORK = 0
    """Pipecat, LiveKit, LangChain, Vercel AI: a framework above the vendor's SDK."""
    PLAIN = 1
    """Any emitter not listed otherwise."""
    TRACELOOP = 2
    OPENINFERENCE = 3
    GENAI = 4
    """The official opentelemetry-instrumentation-genai-* packages, and our own instrumentors."""
    NATIVE = 5
    """The vendor's SDK itself."""
    GATEWAY = 6
    """A gateway that names the model it asked the vendor for, where its clients know only another name."""


@value
class Call:
    """One provider call as one span reports it. Identified by (namespace, trace_id, span_id)."""

    trace_id: bytes
    """16 bytes, not all zero."""
    span_id: bytes
    """8 bytes, not all zero."""
    parent_span_id: bytes | None
    started_at_unix_ns: int
    """Plausible: an implausible one was replaced by the time of receipt, with the issue `implausible_start`."""
    ended_at_unix_ns: int
    usage: UsageRecord
    """Without tenant and api_key: these come from the settled attribution."""
    attribution: Attribution = NO_ATTRIBUTION
    """What this span itself states."""
    resource_attribution: Attribution = NO_ATTRIBUTION
    service_name: str = ""
    scope: str = ""
    """Instrumentation scope name."""
    emitter_rank: EmitterRank = EmitterRank.PLAIN
    is_detached: bool = False
    """Of a framework that never makes its span the current one: what it calls is not below it."""
    is_look_alike: bool = False
    """It looks like a provider call but reports none: a record only if no span below it is one."""
    is_billable: bool = True
    """False where the emitter says that a leaf below this span is instrumented too."""
    call_id: str = ""
    """The provider's id of the call: `response:<id>`, `phone:<call sid>`; "" if unknown."""
    has_gateway_id: bool = False
    """A gateway made the id up and gave it to its client: the vendor has another one for the same call."""
    is_gateway: bool = False
    """A gateway's span, with the provider and the model that it asked: its clients may know neither."""
    session_id: str = ""
    session_sequence: int | None = None
    """Running number of a long socket's delta; (session_id, session_sequence) is then the identity."""
    session_is_closed: bool = False
    session_vendor_total_seconds: Decimal | None = None
    """Stated by the vendor at close; corrects the sum of the session's deltas."""
    producer_id: str = ""
    """The process that made the span, and the span's running number in it: holes show what never arrived."""
    producer_sequence: int | None = None
    reservation_id: str = ""
    """What a budget reserved for this call, or the lease by which it went out: a UUID as 32 hex digits."""
    reported_cost_usd: Decimal | None = None
    """Cost that the span already carried; kept beside ours, never summed into it."""
    reported_cost_source: str = ""
    error_type: str = ""
    issues: tuple[str, ...] = ()
    """Short codes of what was repaired or ignored while reading, e.g. `exclusive_input`."""
    content_hash: int = 0
    """Signed 64-bit hash of everything above: equal hash, equal content."""

    @property
    def measured_quantities(self) -> Quantities:
        """The quantities that other spans of the call may state as well: an estimate of an answer is ours alone."""
        usage = self.usage
        if usage.is_estimated and usage.operation in CHAT_OPERATIONS and not ESTIMATED_BY_US.isdisjoint(self.issues):
            return {}
        return usage.quantities


@fills(Call)
def copy_call(
    original: Call,
    *,
    trace_id: bytes,
    span_id: bytes,
    parent_span_id: bytes | None,
    started_at_unix_ns: int,
    ended_at_unix_ns: int,
    usage: UsageRecord,
    attribution: Attribution,
    resource_attribution: Attribution,
    service_name: str,
    call_id: str,
    content_hash: int,
) -> Call:
    """Return a copy with these fields replaced: `dataclasses.replace` for the path that every span takes."""
    copied = new(Call)
    copied.trace_id = trace_id
    copied.span_id = span_id
    copied.parent_span_id = parent_span_id
    copied.started_at_unix_ns = started_at_unix_ns
    copied.ended_at_unix_ns = ended_at_unix_ns
    copied.usage = usage
    copied.attribution = attribution
    copied.resource_attribution = resource_attribution
    copied.service_name = service_name
    copied.scope = original.scope
    copied.emitter_rank = original.emitter_rank
    copied.is_detached = original.is_detached
    copied.is_look_alike = original.is_look_alike
    copied.is_billable = original.is_billable
    copied.call_id = call_id
    copied.has_gateway_id = original.has_gateway_id
    copied.is_gateway = original.is_gateway
    copied.session_id = original.session_id
    copied.session_sequence = original.session_sequence
    copied.session_is_closed = original.session_is_closed
    copied.session_vendor_total_seconds = original.session_vendor_total_seconds
    copied.producer_id = original.producer_id
    copied.producer_sequence = original.producer_sequence
    copied.reservation_id = original.reservation_id
    copied.reported_cost_usd = original.reported_cost_usd
    copied.reported_cost_source = original.reported_cost_source
    copied.error_type = original.error_type
    copied.issues = original.issues
    copied.content_hash = content_hash
    return copied


@value
class Root:
    """The facts that only the root of a trace reports."""

    started_at_unix_ns: int
    ended_at_unix_ns: int
    has_failed: bool
    resource_attribution: Attribution = NO_ATTRIBUTION


@value
class Link:
    """A span that is no provider call: it joins spans to their ancestors and may carry attribution."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    attribution: Attribution = NO_ATTRIBUTION
    root: Root | None = None
    """Present on the root span, which has no parent."""


@fills(Link)
def plain_link(trace_id: bytes, span_id: bytes, parent_span_id: bytes | None) -> Link:
    """Return a link that states nothing, as most spans are read."""
    link = new(Link)
    link.trace_id = trace_id
    link.span_id = span_id
    link.parent_span_id = parent_span_id
    link.attribution = NO_ATTRIBUTION
    link.root = None
    return link
