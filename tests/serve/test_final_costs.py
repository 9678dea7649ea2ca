from decimal import Decimal as D

import pytest
from prometheus_client import CollectorRegistry

from cost_exporter.serve.final_costs import FinalCosts
from cost_exporter.store.finalise import FinalCost


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def final_costs(registry: CollectorRegistry) -> FinalCosts:
    """Histograms that may name the tenant acme alone."""
    return FinalCosts(registry, lambda tenant: tenant == "acme")


def cost(cost_usd: str, tenant: str = "acme", tier: str | None = None, task: str | None = None, unpriced: int = 0):
    return FinalCost(tenant=tenant, tier=tier, task=task, cost_usd=D(cost_usd), unpriced_count=unpriced)


def test_a_workflow_and_each_of_its_tasks_are_observed_once(
    final_costs: FinalCosts, registry: CollectorRegistry
) -> None:
    """However many calls they made: the workflow with its sum under its tier and tenant, each task with its own."""
    final_costs.observe([cost("0.25", tier="quick", task="answer"), cost("0.5", tier="quick", task="sum up")])
    final_costs.observe([cost("0.125", tier="quick", task="answer"), cost("0.125", tier="quick")])
    workflows = {"tier": "quick", "tenant": "acme"}
    assert registry.get_sample_value("callfare_workflow_cost_usd_count", workflows) == 2
    assert registry.get_sample_value("callfare_workflow_cost_usd_sum", workflows) == 1
    assert registry.get_sample_value("callfare_workflow_cost_usd_bucket", workflows | {"le": "0.5"}) == 1
    assert registry.get_sample_value("callfare_task_cost_usd_count", {"task": "answer"}) == 2
    assert registry.get_sample_value("callfare_task_cost_usd_sum", {"task": "answer"}) == 0.375
    assert registry.get_sample_value("callfare_task_cost_usd_sum", {"task": "sum up"}) == 0.5
    assert registry.get_sample_value("callfare_task_cost_usd_count", {"task": ""}) is None
    assert registry.get_sample_value("callfare_workflow_unpriced_total", workflows) is None


def test_what_is_unknown_is_no_observation_of_nothing(final_costs: FinalCosts, registry: CollectorRegistry) -> None:
    """A lower bound is observed and counted as one; of a wholly unknown cost there is the count alone."""
    final_costs.observe([cost("0", unpriced=1), cost("0.25", task="answer", unpriced=1)])
    final_costs.observe([cost("0", task="answer", unpriced=2)])
    final_costs.observe([cost("0", task="answer")])  # free, or refused: that is a cost of 0
    workflows = {"tier": "", "tenant": "acme"}
    assert registry.get_sample_value("callfare_workflow_cost_usd_count", workflows) == 2
    assert registry.get_sample_value("callfare_workflow_cost_usd_sum", workflows) == 0.25
    assert registry.get_sample_value("callfare_workflow_unpriced_total", workflows) == 2
    assert registry.get_sample_value("callfare_task_cost_usd_count", {"task": "answer"}) == 2
    assert registry.get_sample_value("callfare_task_unpriced_total", {"task": "answer"}) == 2


def test_each_tenant_of_a_workflow_has_its_part(final_costs: FinalCosts, registry: CollectorRegistry) -> None:
    """As in `workflow_cost`; who is not known is `other`, and so is the tier of a workflow with several."""
    final_costs.observe([cost("1", tier="quick"), cost("2", tier="slow"), cost("4", tenant="somebody")])
    both = {"tier": "other", "tenant": "acme"}
    assert registry.get_sample_value("callfare_workflow_cost_usd_sum", both) == 3
    stranger = {"tier": "", "tenant": "other"}
    assert registry.get_sample_value("callfare_workflow_cost_usd_sum", stranger) == 4


def test_endless_names_are_other(final_costs: FinalCosts, registry: CollectorRegistry) -> None:
    """Senders make up tiers and tasks as they like; the metrics stay small, and no money is lost."""
    for number in range(300):
        final_costs.observe([cost("1", tenant=f"tenant-{number}", tier=f"tier-{number}", task=f"task-{number}")])
    sums: dict[str, list[float]] = {}
    for family in registry.collect():
        for sample in family.samples:
            sums.setdefault(sample.name, []).append(sample.value)
    assert len(sums["callfare_workflow_cost_usd_sum"]) == 20 + 1
    assert len(sums["callfare_task_cost_usd_sum"]) == 100 + 1
    assert sum(sums["callfare_workflow_cost_usd_sum"]) == sum(sums["callfare_task_cost_usd_sum"]) == 300
