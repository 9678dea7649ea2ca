"""Metrics of `callfare consume`, beside those of what any process of the service stores."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from cost_exporter.safe_text import for_metric_label

__all__ = ["KafkaMetrics", "OnLag"]

OnLag = Callable[[dict[tuple[str, int], int]], None]
"""Gets how many messages wait in each partition. Must not block."""
_LABELS: Final = ("topic", "partition")


class KafkaMetrics:
    """What this member of the consumer group did and has before it. A `KafkaObserver`."""

    def __init__(self, registry: CollectorRegistry, on_lag: OnLag | None = None) -> None:
        """Start all counters at 0. Of lag nothing is known yet, and so nothing is shown; `on_lag` gets each figure."""
        self._on_lag = on_lag
        self._taken = Counter("callfare_kafka_messages", "Messages of Kafka that are stored.", registry=registry)
        self._dead = Counter(
            "callfare_kafka_dead_messages",
            "Messages of Kafka that became dead letters: no span could be read from them.",
            registry=registry,
        )
        self._lost = Counter(
            "callfare_kafka_lost_messages",
            "Messages that Kafka deleted before they were read, because its retention was shorter than the lag.",
            registry=registry,
        )
        self._lag = Gauge(
            "callfare_kafka_lag",
            "Messages that wait in a partition which this process has. Absent where Kafka does not answer.",
            _LABELS,
            registry=registry,
        )

    def took(self, message_count: int) -> None:
        """Count messages that are stored."""
        self._taken.inc(message_count)

    def dead_lettered(self, message_count: int) -> None:
        """Count messages that became dead letters."""
        self._dead.inc(message_count)

    def lost(self, message_count: int) -> None:
        """Count messages that Kafka deleted before they were read."""
        self._lost.inc(message_count)

    def lagging(self, lags: dict[tuple[str, int], int]) -> None:
        """Show how many messages wait in each partition."""
        if self._on_lag is not None:
            self._on_lag(lags)
        self._lag.clear()
        for (topic, partition), count in lags.items():
            self._lag.labels(for_metric_label(topic), str(partition)).set(count)
