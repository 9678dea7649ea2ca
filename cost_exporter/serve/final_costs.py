"""Histograms of the cost of workflows and of their tasks, each observed once: when it becomes final.

An observation is the known part of the cost. A separate counter has the number that are lower bounds, and an unknown
cost has no observation at all: unknown is not $0. Changes by late spans are in the database, not here; no histogram can
take an observation back.

Labels are bounded: unverified tenants, and tiers and tasks beyond the first ones seen, are `other`.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from cost_exporter.domain.money import total
from cost_exporter.store.finalise import FinalCost

__all__ = ["FinalCosts"]

_OTHER: Final = "other"
_TIERS_MAX: Final = 20
_TASKS_MAX: Final = 100
_BUCKETS_USD: Final = (0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 50)


class FinalCosts:
    """Costs of final workflows, for the metrics. Safe to call from any thread."""

    def __init__(self, registry: CollectorRegistry, is_known_tenant: Callable[[str], bool]) -> None:
        """Register the metrics, with the tenants that may be named."""
        self._is_known_tenant = is_known_tenant
        self._tiers, self._tasks = _Names(_TIERS_MAX), _Names(_TASKS_MAX)
        self._workflows = _Costs("workflow", "workflows", ("tier", "tenant"), registry)
        self._task_costs = _Costs("task", "tasks of workflows", ("task",), registry)

    def observe(self, costs: Sequence[FinalCost]) -> None:
        """Observe one workflow: the part of each tenant that pays for it, and each of its tasks."""
        for tenant in sorted({each.tenant for each in costs}):
            part = [each for each in costs if each.tenant == tenant]
            label = tenant if self._is_known_tenant(tenant) else _OTHER
            self._workflows.observe((self._tier_of(part), label), part)
        for task in sorted({each.task for each in costs if each.task}):
            self._task_costs.observe((self._tasks(task),), [each for each in costs if each.task == task])

    def _tier_of(self, part: Iterable[FinalCost]) -> str:
        """Return the tier that the calls name; a workflow under several is none of them."""
        named = {each.tier for each in part if each.tier}
        if len(named) > 1:
            return _OTHER
        return self._tiers(named.pop()) if named else ""


class _Costs:
    """One histogram, and the count of its observations that are lower bounds or missing."""

    def __init__(self, name: str, what: str, labels: tuple[str, ...], registry: CollectorRegistry) -> None:
        text = f"Known cost in US dollars of final {what}."
        self._costs = Histogram(f"callfare_{name}_cost_usd", text, labels, buckets=_BUCKETS_USD, registry=registry)
        text = f"Final {what} of unknown or partly known cost."
        self._unpriced = Counter(f"callfare_{name}_unpriced", text, labels, registry=registry)

    def observe(self, labels: tuple[str, ...], costs: Sequence[FinalCost]) -> None:
        cost_usd: Decimal = total(each.cost_usd for each in costs)
        is_known = not any(each.unpriced_count for each in costs)
        if not is_known:
            self._unpriced.labels(*labels).inc()
        if is_known or cost_usd:
            self._costs.labels(*labels).observe(float(cost_usd))


class _Names:
    """Keeps the first `count_max` names; all later ones become `other`."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, name: str) -> str:
        with self._lock:
            if len(self._names) < self._count_max:
                self._names.add(name)
            return name if name in self._names else _OTHER
