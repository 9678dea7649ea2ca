"""Read the cost that a span already carries: kept beside ours with its source (rule 14).

Used only from trusted sources: money that our own instrumentation took from the vendor's reply, and any scope or
provider that the operator names, unless the span itself says that its emitter worked the cost out (`local`). Emitters
write zero for an unknown cost, so a zero counts only if the vendor itself states it.
"""

from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Final, NamedTuple

from cost_exporter.domain.money import MAX_MONEY
from cost_exporter.read.fields.reading import Reading
from cost_exporter.read.vocabulary.aliases import COSTS, CostAlias

__all__ = ["NO_COST", "StatedCost", "stated_cost"]


class StatedCost(NamedTuple):
    """A cost as stated, US dollars."""

    amount_usd: Decimal | None
    source: str
    is_trusted: bool


_PROVIDER: Final = "provider"
_LOCAL: Final = "local"

NO_COST: Final = StatedCost(None, "", is_trusted=False)


def stated_cost(reading: Reading, provider: str, trusted_sources: AbstractSet[str]) -> StatedCost:
    """Return the first cost on the span that means something."""
    named = {reading.scope.name, provider}
    for position in reading.layout.costs:
        cost = COSTS[position]
        amount_usd = _amount_usd(reading, cost)
        if amount_usd is not None:
            return StatedCost(
                amount_usd,
                _source(reading, cost),
                is_trusted=(cost.is_vendor_word and reading.scope.rule.is_ours)
                or (_stated_source(reading, cost) != _LOCAL and not trusted_sources.isdisjoint(named)),
            )
    if reading.reported_cost and 0 < reading.reported_cost < MAX_MONEY:
        is_trusted = not trusted_sources.isdisjoint(named)
        return StatedCost(Decimal(reading.reported_cost), reading.scope.name, is_trusted=is_trusted)
    return NO_COST


def _amount_usd(reading: Reading, cost: CostAlias) -> Decimal | None:
    stated = reading.first_number((cost.amount_key,))
    is_vendors = cost.is_vendor_word or _stated_source(reading, cost) == _PROVIDER
    if stated is None or (stated == 0 and not is_vendors):
        return None
    if cost.currency_key and (reading.text(cost.currency_key) or "USD").upper() != "USD":
        reading.issues.append("foreign_currency")
        return None
    # Twilio states what it took from the account: a negative number.
    amount_usd = abs(Decimal(stated)) if cost.is_vendor_word else Decimal(stated)
    if not 0 <= amount_usd < MAX_MONEY:
        reading.issues.append("impossible_cost")
        return None
    return amount_usd


def _stated_source(reading: Reading, cost: CostAlias) -> str:
    """Return who worked the cost out, as the span says: `provider`, `local`, or "" where it does not say."""
    return reading.text(cost.source_key).lower() if cost.source_key else ""


def _source(reading: Reading, cost: CostAlias) -> str:
    source = "vendor" if cost.is_vendor_word else _stated_source(reading, cost)
    return f"{reading.scope.name}/{source}" if source else reading.scope.name
