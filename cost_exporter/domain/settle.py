"""Settle a trace: from all its facts decide which calls are billed, on whose account, and what they cost.

A pure function of the *set* of facts. Whatever the order, batching or repetition in which spans arrive, the
same set gives the same records: that is what makes rollups reproducible (semantics 2, 6, 9, 16).
"""

from collections.abc import Callable, Mapping
from decimal import Decimal

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.span import Call, Link
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.domain.value import value

__all__ = ["Price", "SpanKey", "TraceFacts", "Workflow", "better_call", "better_link", "settle", "workflow_of"]

SpanKey = tuple[bytes, bytes]
"""(trace id, span id), within one namespace."""
Price = Callable[[UsageRecord], Quote]


@value
class TraceFacts:
    """Everything known of one trace, or of several that tell of the same provider call."""

    namespace: str
    tenant_is_trusted: bool
    """False where the namespace comes from a credential: then it is the tenant, whatever attributes say."""
    calls: Mapping[SpanKey, Call]
    links: Mapping[SpanKey, Link]


@value
class Workflow:
    """What the facts of one trace say about the workflow as a whole. Times in Unix nanoseconds, UTC."""

    trace_id: bytes
    started_at_unix_ns: int
    ended_at_unix_ns: int
    state: str
    """running, completed or failed: by the root and `callfare.outcome`. `finalised` is the store's to say."""
    workflow_id: str | None
    workflow_name: str | None
    revenue_usd: Decimal | None


def better_call(one: Call, other: Call) -> Call:
    """Of two contents under one span key return the one to keep: a maximum, so order and repetition do not matter."""
    raise NotImplementedError


def better_link(one: Link, other: Link) -> Link:
    """The same for links."""
    raise NotImplementedError


def settle(facts: TraceFacts, price: Price) -> dict[SpanKey, CostRecord]:
    """Return the cost record of every call in `facts`."""
    raise NotImplementedError


def workflow_of(trace_id: bytes, facts: TraceFacts) -> Workflow:
    """Return what the facts of one trace say about it as a workflow."""
    raise NotImplementedError
