"""What each API key, user, task, tier, category and provider spent, by hour, day and month.

Budgets go by it, and reports. Exact like the rollups of `rollup.py`, and moved by the same differences: categories and
providers are sums of the hours, the others of the records that name one. A call without a user counts for no user. This
is a stored rollup; the report that people read is `cost_exporter/report/spend.py`.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.money import CONTEXT, ZERO
from cost_exporter.domain.rollup import HourlyKey, Measures, hour_of, measures_of

__all__ = ["SpendKey", "SpenderMeasures", "spend_moves"]

Kind = Literal["api_key", "user", "task", "tier", "category", "provider"]
Grain = Literal["hour", "day", "month"]
_HOURS_PER_DAY: Final = 24
_DAY_ZERO: Final = date(1970, 1, 1).toordinal()


class SpendKey(NamedTuple):
    """One spender in one hour, day or month of one tenant."""

    tenant: str
    kind: Kind
    grain: Grain
    hour: int
    """The first hour, in hours since 1970-01-01, UTC."""
    value: str


class SpenderMeasures(NamedTuple):
    """The sums of a spender. A difference may be negative."""

    cost_usd: Decimal = ZERO
    request_count: int = 0
    unpriced_count: int = 0
    total_tokens: int = 0
    characters: int = 0
    audio_seconds: Decimal = ZERO
    call_seconds: Decimal = ZERO


_NOTHING: Final = SpenderMeasures()


def spend_moves(
    hours: Mapping[HourlyKey, Measures], added: Iterable[CostRecord], taken: Iterable[CostRecord]
) -> dict[SpendKey, SpenderMeasures]:
    """Return by how much each spender moves, given how the hours move and which records come and go."""
    sums: dict[SpendKey, SpenderMeasures] = {}
    for key, measures in hours.items():
        spend = _spend_of(measures)
        _add(sums, SpendKey(key.tenant, "category", "hour", key.hour, key.category), spend)
        _add(sums, SpendKey(key.tenant, "provider", "hour", key.hour, key.provider), spend)
    for record in added:
        _add_named(sums, record, is_taken=False)
    for record in taken:
        _add_named(sums, record, is_taken=True)
    for key, spend in list(sums.items()):
        day = key.hour // _HOURS_PER_DAY
        _add(sums, SpendKey(key.tenant, key.kind, "day", day * _HOURS_PER_DAY, key.value), spend)
        month = _month_of(day)
        _add(sums, SpendKey(key.tenant, key.kind, "month", month * _HOURS_PER_DAY, key.value), spend)
    return {key: spend for key, spend in sums.items() if spend != _NOTHING}


def _add_named(sums: dict[SpendKey, SpenderMeasures], record: CostRecord, *, is_taken: bool) -> None:
    """Add what a record says of its API key, user, task and tier, or take it away."""
    words = record.attribution
    if record.status == "duplicate" or words.user is words.api_key is words.task is words.tier is None:
        return
    hour = hour_of(record)
    spend = _spend_of(measures_of(record))
    if is_taken:
        spend = _less(spend)
    named: tuple[tuple[Kind, str | None], ...] = (
        ("user", words.user),
        ("api_key", words.api_key),
        ("task", words.task),
        ("tier", words.tier),
    )
    for kind, name in named:
        if name is not None:
            _add(sums, SpendKey(record.tenant, kind, "hour", hour, name), spend)


@lru_cache(maxsize=1_024)
def _month_of(day: int) -> int:
    """Return the first day of the month of a day, both in days since 1970."""
    return day + 1 - date.fromordinal(_DAY_ZERO + day).day


def _spend_of(measures: Measures) -> SpenderMeasures:
    return SpenderMeasures(
        measures.cost_usd,
        measures.request_count,
        measures.unpriced_count,
        measures.input_tokens + measures.output_tokens,
        measures.characters,
        measures.audio_seconds,
        measures.call_seconds,
    )


def _less(spend: SpenderMeasures) -> SpenderMeasures:
    minus = CONTEXT.minus
    cost_usd, requests, unpriced, tokens, characters, audio, call = spend
    return SpenderMeasures(minus(cost_usd), -requests, -unpriced, -tokens, -characters, minus(audio), minus(call))


def _add(sums: dict[SpendKey, SpenderMeasures], key: SpendKey, spend: SpenderMeasures) -> None:
    known = sums.get(key)
    if known is not None:
        add = CONTEXT.add
        spend = SpenderMeasures(
            add(known.cost_usd, spend.cost_usd),
            known.request_count + spend.request_count,
            known.unpriced_count + spend.unpriced_count,
            known.total_tokens + spend.total_tokens,
            known.characters + spend.characters,
            add(known.audio_seconds, spend.audio_seconds),
            add(known.call_seconds, spend.call_seconds),
        )
    sums[key] = spend
