"""Alerts on what waits in Kafka: made by the consumer, which knows it, and delivered by the service beside it.

The consumer must not wait for a database, so it only leaves the newest figures here; a thread of its own judges them.
A topic has one alert an hour for each number of messages that a receiver chose.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from decimal import Decimal

from cost_exporter.alerts.receivers import receiver_of
from cost_exporter.domain.alerting import NO_TENANT, Alert, Receiver
from cost_exporter.safe_text import for_log
from cost_exporter.settings import AlertRule
from cost_exporter.store.alerts.making import Connection, make_alert

__all__ = ["LagJudge", "judge_lag"]

Places = Mapping[tuple[str, int], int]
"""How many messages wait, by topic and partition."""
_STOP_SECONDS_MAX = 5.0
_log = logging.getLogger(__name__)


def judge_lag(connection: Connection, receivers: Sequence[Receiver], lags: Places, *, now: datetime) -> int:
    """Make an alert for each topic in which too many messages wait, and return how many that made."""
    waiting: Counter[str] = Counter()
    for (topic, _), count in lags.items():
        waiting[topic] += count
    made = 0
    for most in sorted({each.lag_message_count for each in receivers if "kafka_lag" in each.kinds}):
        for topic, count in sorted(waiting.items()):
            if count > most:
                made += make_alert(connection, _alert(topic, count, most, now), receivers)
    return made


def _alert(topic: str, count: int, most: int, now: datetime) -> Alert:
    return Alert(
        kind="kafka_lag",
        tenant=NO_TENANT,
        scope=topic,
        window_start=now.astimezone(UTC).replace(minute=0, second=0, microsecond=0),
        threshold=Decimal(most),
        facts={"topic": topic, "lag": count, "lag_messages": most},
    )


class LagJudge:
    """Judges the newest figures until it is stopped."""

    def __init__(self, lend: Callable[[], AbstractContextManager[Connection]], rules: Sequence[AlertRule]) -> None:
        """Begin to wait for figures; `rules` has receivers that want to know."""
        self._lend = lend
        self._receivers = [receiver_of(rule) for rule in rules if "kafka_lag" in rule.on]
        self._newest: Places | None = None
        self._woken = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="callfare-kafka-lag", daemon=True)
        self._thread.start()

    def lagging(self, lags: Places) -> None:
        """Take the newest figures. Waits for nothing."""
        self._newest = dict(lags)
        self._woken.set()

    def stop(self) -> None:
        """Stop after what is under way."""
        self._is_stopping = True
        self._woken.set()
        self._thread.join(_STOP_SECONDS_MAX)

    def _run(self) -> None:
        while not self._is_stopping:
            self._woken.wait()
            self._woken.clear()
            lags, self._newest = self._newest, None
            if lags is None:
                continue
            try:
                with self._lend() as connection, connection.transaction():
                    judge_lag(connection, self._receivers, lags, now=datetime.now(UTC))
            except Exception as error:  # noqa: BLE001 - the next figures are judged again
                _log.warning("alerts on Kafka's lag could not be judged: %s", for_log(str(error)))
