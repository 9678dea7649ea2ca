"""Rollups: records summed by key, exactly.

Two sets of keys: by workflow (tenant, trace, category, leg) and by day (tenant, day, category, provider,
model, operation). A rollup always equals the sum of its records: `store/ledger/write_set.py` adds up by how much a
transaction moves each key. Duplicates add only to `duplicate_count`; what is not known adds nothing but a count of
unknowns; invalid counts never enter a sum.
"""

from decimal import Decimal
from typing import Any, NamedTuple

from cost_exporter.domain.cost import CostRecord, Leg
from cost_exporter.domain.money import CONTEXT, ZERO
from cost_exporter.domain.quantity import Quantities
from cost_exporter.domain.quote import is_unpriced

__all__ = [
    "NOTHING",
    "DailyKey",
    "Measures",
    "WorkflowKey",
    "daily_key",
    "measures_of",
    "workflow_key",
]

_NS_PER_DAY = 86_400_000_000_000


class WorkflowKey(NamedTuple):
    """One part of one workflow, on one tenant's account."""

    tenant: str
    trace_id: bytes
    category: str
    leg: Leg


class DailyKey(NamedTuple):
    """One kind of call on one UTC day, by the start of the call."""

    tenant: str
    day: int
    """Days since 1970-01-01."""
    category: str
    provider: str
    model: str
    operation: str


class Measures(NamedTuple):
    """What is summed. All fields are exact and additive."""

    cost_usd: Decimal = ZERO
    request_count: int = 0
    unpriced_count: int = 0
    duplicate_count: int = 0
    llm_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    characters: int = 0
    audio_seconds: Decimal = ZERO
    call_seconds: Decimal = ZERO
    duration_ns: int = 0

    def plus(self, other: "Measures") -> "Measures":
        """Return the sum, field by field."""
        return Measures(*[_add(mine, theirs) for mine, theirs in zip(self, other, strict=True)])

    def minus(self, other: "Measures") -> "Measures":
        """Return the difference, field by field."""
        return Measures(*[_add(mine, -theirs) for mine, theirs in zip(self, other, strict=True)])


NOTHING = Measures()
_DUPLICATE = Measures(duplicate_count=1)
_NO_COUNTS: Quantities = {}


def workflow_key(record: CostRecord) -> WorkflowKey:
    """Return where a record counts within its workflow."""
    return WorkflowKey(record.tenant, record.call.trace_id, record.category, record.leg)


def daily_key(record: CostRecord) -> DailyKey:
    """Return where a record counts among the days."""
    usage = record.call.usage
    day = record.call.started_at_unix_ns // _NS_PER_DAY
    return DailyKey(record.tenant, day, record.category, usage.provider, usage.model, usage.operation)


def measures_of(record: CostRecord) -> Measures:
    """Return what one record adds to a rollup."""
    status, call = record.status, record.call
    if status == "duplicate":
        return _DUPLICATE
    counts = _NO_COUNTS if status == "invalid" else record.quantities
    count = counts.get
    # By position, in the order of the fields: this runs for every record.
    return Measures(
        record.known_cost_usd,
        1,
        1 if is_unpriced(status) else 0,
        0,
        1 if record.leg == "llm" else 0,
        int(count("input_tokens", 0)),
        int(count("output_tokens", 0)),
        int(count("characters", 0)),
        Decimal(counts["audio_seconds"]) if "audio_seconds" in counts else ZERO,
        Decimal(counts["call_seconds"]) if "call_seconds" in counts else ZERO,
        call.ended_at_unix_ns - call.started_at_unix_ns,
    )


def _add(one: Any, other: Any) -> Any:
    """Add two numbers of one field: Decimals in our context, ints as they are."""
    return one + other if isinstance(one, int) else CONTEXT.add(one, other)
