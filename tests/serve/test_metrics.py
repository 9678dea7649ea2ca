from decimal import Decimal as D
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from cost_exporter.domain.facts import Receipt
from cost_exporter.serve.metrics import CostTotals, ServiceMetrics


def samples(metrics: ServiceMetrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the samples by name and label values; Prometheus' text has labels in alphabetical order."""
    return {
        (sample.name, tuple(text for _, text in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def row(cost_usd: str | None, **changed: Any) -> dict[str, Any]:
    labels = {"tenant_id": "acme", "category": "bot", "operation": "chat", "provider": "openai", "model": "gpt-4o"}
    counts = {"request_count": 1, "unpriced_count": 0, "cost_usd": None if cost_usd is None else D(cost_usd)}
    return labels | counts | changed


def test_received_is_the_sum_of_the_other_results() -> None:
    """Every span that was received is counted once more, under what became of it."""
    metrics = ServiceMetrics()
    metrics.stored(Receipt(received=10, accepted=4, duplicate=3, conflict=1, ignored=1, dead_letter=1))
    metrics.stored(Receipt(received=2, accepted=2), tenant_claims_ignored_count=2)
    metrics.not_understood(unread_count=2, look_alike_count=0)
    metrics.not_understood(unread_count=0, look_alike_count=3)
    assert metrics.registry.get_sample_value("callfare_unread_total", {"kind": "usage"}) == 2
    assert metrics.registry.get_sample_value("callfare_unread_total", {"kind": "look_alike"}) == 3
    found = samples(metrics)
    counts = {labels[0]: value for (name, labels), value in found.items() if name == "callfare_spans_total"}
    assert counts.pop("received") == sum(counts.values()) == 12
    assert found["callfare_tenant_claims_ignored_total", ()] == 2


def test_refusals_and_commits_are_counted() -> None:
    """Refusals are counted by reason, commits by how long they took."""
    metrics = ServiceMetrics()
    metrics.refused("overloaded")
    metrics.committed(0.003)
    found = samples(metrics)
    assert found["callfare_refused_total", ("overloaded",)] == 1
    assert found["callfare_commit_seconds_count", ()] == 1


def test_an_unchecked_rollup_is_not_reported_as_sound() -> None:
    """The gauge of mismatches is there from the first check on."""
    metrics = ServiceMetrics()
    assert ("callfare_rollup_mismatch", ()) not in samples(metrics)
    metrics.checked_rollups(0)
    assert samples(metrics)["callfare_rollup_mismatch", ()] == 0


def test_cost_is_read_from_the_rollup() -> None:
    """Money, operations and unpriced operations are those of the rollup; a cost that is unknown has no sample."""
    metrics = ServiceMetrics()
    rows = [row("0.25"), row(None, model="new", unpriced_count=1)]
    metrics.registry.register(CostTotals(lambda: rows, lambda _: True))
    found = samples(metrics)
    assert found["callfare_cost_usd_total", ("bot", "gpt-4o", "chat", "openai", "acme")] == 0.25
    assert ("callfare_cost_usd_total", ("bot", "new", "chat", "openai", "acme")) not in found
    assert found["callfare_unpriced_total", ("new", "openai")] == 1
    assert found["callfare_operations_total", ("bot", "gpt-4o", "chat", "openai", "acme")] == 1


def test_unknown_tenants_and_endless_models_are_counted_as_other() -> None:
    """Labels are bounded: what a sender makes up goes to `other`, and no money is lost by it."""
    metrics = ServiceMetrics()
    rows = [row("1", model=f"model-{index}", tenant_id=f"tenant-{index}") for index in range(1_500)]
    metrics.registry.register(CostTotals(lambda: rows, lambda tenant: tenant == "tenant-7"))
    costs = {labels: value for (name, labels), value in samples(metrics).items() if name == "callfare_cost_usd_total"}
    assert len(costs) == 1_001
    assert sum(costs.values()) == 1_500
    assert {labels[-1] for labels in costs} == {"tenant-7", "other"}


def test_a_model_that_becomes_dearer_is_not_counted_twice() -> None:
    """Beyond a thousand combinations one stays in `other` when it overtakes a named one: operations are not doubled."""
    now = [0.0]
    rows = [row(str(2_000 - index), model=f"model-{index}") for index in range(1_100)]
    metrics = ServiceMetrics()
    metrics.registry.register(CostTotals(lambda: rows, lambda _: True, lambda: now[0]))
    for _ in range(2):
        found = samples(metrics)
        assert sum(n for (name, _), n in found.items() if name == "callfare_operations_total") == len(rows)
        rows[:] = [row("5000", model="model-1099"), row("1", model="new"), *rows[:1_099]]
        now[0] += 10
    assert len(rows) == 1_101


def test_a_counter_does_not_fall_when_a_revision_lowers_a_figure() -> None:
    """Prometheus takes a fall for a restart, so the higher figure stays until it is passed."""
    now, rows = [0.0], [row("2")]
    metrics = ServiceMetrics()
    metrics.registry.register(CostTotals(lambda: rows, lambda _: True, lambda: now[0]))
    key = ("callfare_cost_usd_total", ("bot", "gpt-4o", "chat", "openai", "acme"))
    assert samples(metrics)[key] == 2
    for cost, shown in (("1.5", 2), ("2.5", 2.5)):
        now[0] += 10
        rows[0] = row(cost)
        assert samples(metrics)[key] == shown


def test_metrics_answer_while_the_database_is_away() -> None:
    """A scrape during an outage shows the last figures."""
    now = [0.0]
    answers = iter([[row("2")]])
    metrics = ServiceMetrics()
    metrics.registry.register(CostTotals(lambda: next(answers), lambda _: True, lambda: now[0]))
    before = samples(metrics)
    now[0] += 10
    assert samples(metrics) == before
