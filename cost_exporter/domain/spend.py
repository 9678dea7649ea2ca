"""What each API key, user, category and provider spent, by the hour and by the day: what budgets go by.

Exact like the rollups of `rollup.py`, and moved by the same differences: categories and providers are sums of the
hours, API keys and users of the records that name one. A call without a user counts for no user. This is a stored
rollup; the report that people read is `cost_exporter/report/spend.py`.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.money import CONTEXT, ZERO
from cost_exporter.domain.quote import is_unpriced
from cost_exporter.domain.rollup import HourlyKey, Measures, hour_of

__all__ = ["Spend", "SpendKey", "spend_moves"]

Kind = Literal["api_key", "user", "category", "provider"]
Grain = Literal["hour", "day"]
_HOURS_PER_DAY: Final = 24


class SpendKey(NamedTuple):
    """One spender in one hour or day of one tenant."""

    tenant: str
    kind: Kind
    grain: Grain
    hour: int
    """The first hour, in hours since 1970-01-01, UTC."""
    value: str


class Spend(NamedTuple):
    """What is summed. A difference may be negative."""

    cost_usd: Decimal = ZERO
    request_count: int = 0
    unpriced_count: int = 0


_NOTHING: Final = Spend()


def spend_moves(
    hours: Mapping[HourlyKey, Measures], added: Iterable[CostRecord], taken: Iterable[CostRecord]
) -> dict[SpendKey, Spend]:
    """Return by how much each spender moves, given how the hours move and which records come and go."""
    sums: dict[SpendKey, Spend] = {}
    for key, measures in hours.items():
        spend = Spend(measures.cost_usd, measures.request_count, measures.unpriced_count)
        _add(sums, SpendKey(key.tenant, "category", "hour", key.hour, key.category), spend)
        _add(sums, SpendKey(key.tenant, "provider", "hour", key.hour, key.provider), spend)
    for record in added:
        _add_named(sums, record, 1)
    for record in taken:
        _add_named(sums, record, -1)
    for key, spend in list(sums.items()):
        day = key.hour - key.hour % _HOURS_PER_DAY
        _add(sums, SpendKey(key.tenant, key.kind, "day", day, key.value), spend)
    return {key: spend for key, spend in sums.items() if spend != _NOTHING}


def _add_named(sums: dict[SpendKey, Spend], record: CostRecord, sign: int) -> None:
    """Add what a record says of its API key and user, or take it away."""
    words = record.attribution
    if record.status == "duplicate" or words.user is words.api_key is None:
        return
    hour = hour_of(record)
    cost_usd = record.known_cost_usd if sign > 0 else CONTEXT.minus(record.known_cost_usd)
    spend = Spend(cost_usd, sign, sign if is_unpriced(record.status) else 0)
    if words.user is not None:
        _add(sums, SpendKey(record.tenant, "user", "hour", hour, words.user), spend)
    if words.api_key is not None:
        _add(sums, SpendKey(record.tenant, "api_key", "hour", hour, words.api_key), spend)


def _add(sums: dict[SpendKey, Spend], key: SpendKey, spend: Spend) -> None:
    known = sums.get(key)
    if known is not None:
        spend = Spend(
            CONTEXT.add(known.cost_usd, spend.cost_usd),
            known.request_count + spend.request_count,
            known.unpriced_count + spend.unpriced_count,
        )
    sums[key] = spend
