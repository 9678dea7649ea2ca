"""Convert a budget from the configuration file or the command line to the stored form."""

from decimal import Decimal
from typing import TYPE_CHECKING

from cost_exporter.domain.budget import Enforcement, Unpriced
from cost_exporter.store.budgets.definitions import BudgetSpec

if TYPE_CHECKING:  # who only reserves needs no settings
    from cost_exporter.settings import BudgetRule

__all__ = ["spec_of"]


def spec_of(rule: "BudgetRule", *, is_from_file: bool = False) -> BudgetSpec:
    """Return what is stored of a budget."""
    enforcement: Enforcement = "shadow" if rule.hard == "shadow" else "hard" if rule.hard else "soft"
    unpriced, assumed_usd = _unpriced(rule, enforcement)
    return BudgetSpec(
        name=rule.name,
        tenant=rule.tenant,
        time_window=rule.window,
        limit_usd=rule.limit_usd,
        enforcement=enforcement,
        thresholds=rule.percentages,
        unpriced=unpriced,
        assumed_usd=assumed_usd,
        api_key=rule.api_key,
        user=rule.user,
        category=rule.category,
        provider=rule.provider,
        model=rule.model,
        raised_by_usd=rule.raised_by_usd,
        raised_until=rule.raised_until,
        is_from_file=is_from_file,
    )


def _unpriced(rule: "BudgetRule", enforcement: Enforcement) -> tuple[Unpriced, Decimal | None]:
    if isinstance(rule.unpriced, Decimal):
        return "assume", rule.unpriced
    return rule.unpriced or ("refuse" if enforcement == "hard" else "allow"), None
