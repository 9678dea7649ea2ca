"""Metrics in Prometheus' format: what this process did, and all spend in the database.

Two sources. Events in this process (spans, commits, refusals) are counted as they happen. Money and operations are
read from the daily rollup when Prometheus scrapes: so the figures agree with SQL, the API and the page, also after a
restart and with several exporters. A counter may not fall, so if a revision lowered a figure the higher one stays until
it is exceeded.

Labels are bounded: unverified tenants, and combinations beyond a thousand, are counted as `other`. A combination
without any priced call has no sample of its cost.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from cost_exporter.domain.facts import Receipt
from cost_exporter.safe_text import for_metric_label

__all__ = ["CONTENT_TYPE", "CostTotals", "ServiceMetrics"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
OTHER: Final = "other"
_LABELS: Final = ("tenant", "category", "operation", "provider", "model")
_COMBINATIONS_MAX: Final = 1000
_TOTALS_AGE_SECONDS_MAX: Final = 2.0
_COMMIT_BUCKETS_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_DELIVERY_RESULTS: Final = ("delivered", "failed", "given_up")
_RESULTS: Final = ("received", "accepted", "duplicate", "conflict", "ignored", "dead_letter")
Row = dict[str, Any]
Labels = tuple[str, ...]


class ServiceMetrics:
    """Counters of what this process did. Safe to call from any thread; no call blocks or raises."""

    def __init__(self) -> None:
        """Start all counters at 0."""
        self.registry = CollectorRegistry()
        self._spans = Counter("callfare_spans", "Spans by what became of them.", ["result"], registry=self.registry)
        for result in _RESULTS:
            self._spans.labels(result)
        self._commit_seconds = Histogram(
            "callfare_commit_seconds",
            "Time from a batch's first statement to its COMMIT.",
            buckets=_COMMIT_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self._refused = Counter("callfare_refused", "Requests refused.", ["reason"], registry=self.registry)
        self._budget_exceeded = Counter(
            "callfare_budget_exceeded", "Calls that a budget of the service refused.", registry=self.registry
        )
        self._deliveries = Counter(
            "callfare_alert_deliveries",
            "Attempts to deliver an alert, by receiver: delivered, failed (tried again), given_up (after a day).",
            ["receiver", "result"],
            registry=self.registry,
        )
        self._claims_ignored = Counter(
            "callfare_tenant_claims_ignored",
            "Spans whose tenant attribute disagreed with their credential.",
            registry=self.registry,
        )
        self._unread = Counter(
            "callfare_unread",
            "Spans that were not understood: usage that nothing reads, or a span that only looks like a call.",
            ["kind"],
            registry=self.registry,
        )
        for kind in ("usage", "look_alike"):
            self._unread.labels(kind)
        self._rollup_mismatch: Gauge | None = None
        self._book_age_days: Gauge | None = None

    def stored(self, receipt: Receipt, *, tenant_claims_ignored_count: int = 0) -> None:
        """Count what became of the spans of one request."""
        for result in _RESULTS:
            if count := int(getattr(receipt, result)):
                self._spans.labels(result).inc(count)
        if tenant_claims_ignored_count:
            self._claims_ignored.inc(tenant_claims_ignored_count)

    def not_understood(self, *, unread_count: int, look_alike_count: int) -> None:
        """Count spans of one request that were not understood."""
        if unread_count:
            self._unread.labels("usage").inc(unread_count)
        if look_alike_count:
            self._unread.labels("look_alike").inc(look_alike_count)

    def committed(self, duration_seconds: float) -> None:
        """Record how long one commit took."""
        self._commit_seconds.observe(duration_seconds)

    def refused(self, reason: str) -> None:
        """Count a refused request."""
        self._refused.labels(str(reason)).inc()

    def budget_exceeded(self) -> None:
        """Count a call that a budget refused."""
        self._budget_exceeded.inc()

    def watch_receivers(self, names: Iterable[str]) -> None:
        """Show each receiver of alerts from the start on."""
        for name in names:
            for result in _DELIVERY_RESULTS:
                self._deliveries.labels(name, result)

    def alert_delivery(self, receiver: str, result: str) -> None:
        """Count an attempt to deliver an alert."""
        self._deliveries.labels(receiver, result).inc()

    def checked_rollups(self, mismatch_count: int) -> None:
        """Set how many keys differed. The gauge exists from the first check on: no check is not "all is well"."""
        if self._rollup_mismatch is None:
            text = "Rollup keys that differed from their records at the last check; must be 0."
            self._rollup_mismatch = Gauge("callfare_rollup_mismatch", text, registry=self.registry)
        self._rollup_mismatch.set(mismatch_count)

    def watch_book_age(self, age_days: Callable[[], float]) -> None:
        """Show the age of the price book, asked for when Prometheus asks."""
        if self._book_age_days is None:
            text = "Days since the prices were last checked."
            self._book_age_days = Gauge("callfare_price_book_age_days", text, registry=self.registry)
        self._book_age_days.set_function(age_days)

    def watch_missing_spans(self, missing_count: Callable[[], float]) -> None:
        """Show how many numbered spans never arrived, asked for when Prometheus asks."""
        text = "Billable spans that their producers numbered and that never arrived."
        Gauge("callfare_spans_missing", text, registry=self.registry).set_function(missing_count)

    def text(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(self.registry)


class CostTotals(Collector):
    """Total spend from the rollup, as counters with bounded labels."""

    def __init__(
        self,
        read_totals: Callable[[], list[Row]],
        is_known_tenant: Callable[[str], bool],
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the way to the rollup, and the tenants that may be named."""
        self._read_totals = read_totals
        self._is_known_tenant = is_known_tenant
        self._now_seconds = now_seconds
        self._lock = threading.Lock()
        self._rows: list[Row] = []
        self._read_at_seconds: float | None = None
        self._highest: dict[tuple[str, Labels], Decimal] = {}
        self._labels: dict[tuple[Any, ...], Labels] = {}
        self._named_count = 0

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counters. Where the database does not answer, the last figures stay."""
        with self._lock:
            rows = self._fresh_rows()
            yield self._family("callfare_cost_usd", "Known cost in US dollars.", "cost_usd", _LABELS, rows)
            yield self._family("callfare_operations", "Operations without duplicates.", "request_count", _LABELS, rows)
            text = "Operations of unknown or partly known cost."
            yield self._family("callfare_unpriced", text, "unpriced_count", ("provider", "model"), rows)

    def _fresh_rows(self) -> list[Row]:
        now = self._now_seconds()
        if self._read_at_seconds is None or now - self._read_at_seconds >= _TOTALS_AGE_SECONDS_MAX:
            try:
                self._rows = [{**row, **self._bounded(row)} for row in self._read_totals()]
            except Exception:  # noqa: BLE001 - a scrape must answer also while the database is away; /readyz reports it
                return self._rows
            self._read_at_seconds = now
        return self._rows

    def _bounded(self, row: Row) -> Row:
        """Return the row's labels, in a number that Prometheus can handle. Rows come most expensive first.

        A combination keeps its labels for the life of the process: counters do not fall, so one that moved from
        `other` to a name of its own would be counted under both.
        """
        key = tuple(row[column] for column in ("tenant_id", *_LABELS[1:]))
        labels = self._labels.get(key)
        if labels is None:
            labels = self._labels[key] = self._labels_of(key)
        return dict(zip(_LABELS, labels, strict=True))

    def _labels_of(self, key: tuple[Any, ...]) -> Labels:
        tenant = for_metric_label(key[0]) if self._is_known_tenant(key[0]) else OTHER
        if self._named_count >= _COMBINATIONS_MAX:
            return (tenant, *(OTHER for _ in key[1:]))
        self._named_count += 1
        return (tenant, *(for_metric_label(text or "") for text in key[1:]))

    def _family(self, name: str, text: str, column: str, labels: Labels, rows: list[Row]) -> CounterMetricFamily:
        sums: dict[Labels, Decimal] = {}
        for row in rows:
            if row[column] is None:  # an unknown cost has no sample: it is not 0
                continue
            key = tuple(str(row[label]) for label in labels)
            sums[key] = sums.get(key, Decimal(0)) + row[column]
        family = CounterMetricFamily(name, text, labels=labels)
        for key, amount in sums.items():
            highest = self._highest[name, key] = max(amount, self._highest.get((name, key), Decimal(0)))
            family.add_metric(list(key), float(highest))
        return family
