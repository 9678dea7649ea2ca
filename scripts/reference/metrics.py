"""Metrics, from the registry that the service exports."""

import re
from collections.abc import Iterator
from decimal import Decimal

from cost_exporter.serve.final_costs import FinalCosts
from cost_exporter.serve.kafka_metrics import KafkaMetrics
from cost_exporter.serve.metrics import CostTotals, ServiceMetrics
from scripts.reference.markdown import ROOT, code, described, table

ROW = {"tenant_id": "t", "category": "c", "operation": "o", "provider": "p", "model": "m"}


def page() -> list[str]:
    """Return the page: every metric with type, labels and meaning."""
    lines = [
        "`GET /metrics` on the web address, in Prometheus' text format. Label `tenant` holds known tenants; others count as `other`,",
        "and so do label combinations beyond a thousand. A metric with labels appears with its first event: in an alert, write",
        "`increase(X[5m]) > 0 or X unless X offset 5m`. [Charts and alerts in Grafana](../how-to/grafana.md) has a dashboard.",
        "",
        "In the repository, `collector-config/alerts/rules.yaml` has alerts for Prometheus' `rule_files`, one of them `CallfareUnpriced` for usage without a price;",
        "`collector-config/compose/prometheus.yaml` shows how it is loaded and how `/metrics` is scraped with a token, and",
        "`collector-config/k8s/prometheusrule.yaml` is the same for the Prometheus operator. Without tokens, which is",
        "possible on loopback, the scrape needs none.",
        "",
    ]
    found = sorted(metrics())
    missing = named_in_source() - {name for name, *_ in found}
    assert not missing, f"scripts/reference/metrics.py shows no {missing}: add what registers it to registry()"
    return lines + table(
        ["metric", "type", "labels", "meaning"],
        [
            (code(n), kind, ", ".join(map(code, labels)), described(text, n, "its registration"))
            for n, kind, labels, text in found
        ],
    )


def metrics() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Yield (name as exported, type, labels, help) of each metric."""
    service = registry()
    for collector in list(service.registry._collector_to_names):  # noqa: SLF001 - the only list there is
        for family in collector.collect():
            labels = tuple(getattr(collector, "_labelnames", ())) or tuple(
                dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
            )
            yield (
                family.name + ("_total" if family.type == "counter" else ""),
                family.type,
                labels,
                family.documentation,
            )


def registry() -> ServiceMetrics:
    """Return the service's metrics with every one of them present."""
    service = ServiceMetrics()
    service.checked_rollups(0)
    service.watch_book_age(lambda: 0.0)
    service.watch_missing_spans(lambda: 0.0)
    totals = {**ROW, "cost_usd": Decimal(0), "request_count": 0, "unpriced_count": 0}
    service.registry.register(CostTotals(lambda: [totals], lambda _: True))
    kafka = KafkaMetrics(service.registry)
    kafka.lagging({("otlp_spans", 0): 0})
    FinalCosts(service.registry, lambda _: True)
    return service


def named_in_source() -> set[str]:
    """Return every metric name that is written out in the service's source, as it is exported."""
    kinds = {"Counter": "_total", "CounterMetricFamily": "_total", "_family": "_total", "Gauge": "", "Histogram": ""}
    found: set[str] = set()
    for path in sorted((ROOT / "cost_exporter" / "serve").glob("*.py")):
        for kind, name in re.findall(r'\b(\w+)\(\s*"(callfare_\w+)"', path.read_text(encoding="utf-8")):
            found.add(name + kinds.get(kind, ""))
    return found
