"""Rollups: records summed by key, exactly.

Two sets of keys: by workflow (tenant, trace, category, leg) and by hour (tenant, hour, category, provider,
model, operation); days are sums of hours. A rollup always equals the sum of its records: `store/ledger/write_set.py`
adds up by how much a transaction moves each key. Duplicates add only to `duplicate_count`; what is not known adds
nothing but a count of unknowns; invalid counts never enter a sum.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from cost_exporter.domain.cost import CostRecord, Leg
from cost_exporter.domain.money import CONTEXT, ZERO
from cost_exporter.domain.quantity import Quantities
from cost_exporter.domain.quote import is_unpriced

__all__ = [
    "NOTHING",
    "DailyKey",
    "HourlyKey",
    "Measures",
    "WorkflowKey",
    "days_of",
    "hour_of",
    "hourly_key",
    "measures_of",
    "workflow_key",
]

_NS_PER_HOUR = 3_600_000_000_000
_HOURS_PER_DAY = 24


class WorkflowKey(NamedTuple):
    """One part of one workflow, on one tenant's account."""

    tenant: str
    trace_id: bytes
    category: str
    leg: Leg


class HourlyKey(NamedTuple):
    """One kind of call in one hour, UTC, by the start of the call."""

    tenant: str
    hour: int
    """Hours since 1970-01-01."""
    category: str
    provider: str
    model: str
    operation: str


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
    """The sums of a rollup. All fields are exact and additive."""

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


def hour_of(record: CostRecord) -> int:
    """Return the hour in which a record counts, in hours since 1970."""
    return record.call.started_at_unix_ns // _NS_PER_HOUR


def hourly_key(record: CostRecord) -> HourlyKey:
    """Return where a record counts among the hours."""
    usage = record.call.usage
    return HourlyKey(record.tenant, hour_of(record), record.category, usage.provider, record.model, usage.operation)


def days_of(hours: Mapping[HourlyKey, "Measures"]) -> dict[DailyKey, "Measures"]:
    """Return the sums by day of these hours; days that do not move are left out."""
    days: dict[DailyKey, Measures] = {}
    for key, measures in hours.items():
        day = DailyKey(key.tenant, key.hour // _HOURS_PER_DAY, *key[2:])
        known = days.get(day)
        days[day] = measures if known is None else known.plus(measures)
    return {day: measures for day, measures in days.items() if measures != NOTHING}


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
