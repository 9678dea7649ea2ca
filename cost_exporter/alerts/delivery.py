"""Deliver alerts: a thread for each receiver drains what waits for it, so one that hangs delays no other.

What fails is tried again, later each time, until it is a day old; then it is dropped, which the log, a metric and
`callfare alert list` show.
"""

import logging
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Final, Protocol

from cost_exporter.alerts.sending import Answer, Outgoing, send
from cost_exporter.report.alerts import message_of
from cost_exporter.safe_text import for_log
from cost_exporter.settings import AlertRule
from cost_exporter.store.alerts.deliveries import Delivery, claim, delivered, put_off
from cost_exporter.store.alerts.making import Connection

__all__ = ["CountDelivery", "Deliverer", "backoff", "outgoing_of"]

Lend = Callable[[], AbstractContextManager[Connection]]
_LOOK_EVERY_SECONDS: Final = 1.0
_FIRST_WAIT_SECONDS: Final = 2.0
_WAIT_SECONDS_MAX: Final = 3600.0
_STOP_SECONDS_MAX: Final = 3.0
_log = logging.getLogger(__name__)
_jitter = random.Random()  # noqa: S311 - it only spreads attempts


class CountDelivery(Protocol):
    """The metrics. Must not raise and must not block."""

    def __call__(self, receiver: str, result: str) -> None:
        """Count an attempt: `delivered` or `failed`."""
        ...


def backoff(attempt: int) -> timedelta:
    """Return how long to wait after this attempt failed: twice as long each time, an hour at most, and a bit apart."""
    seconds = min(_WAIT_SECONDS_MAX, _FIRST_WAIT_SECONDS * 2.0 ** min(attempt - 1, 20))
    return timedelta(seconds=seconds * _jitter.uniform(0.75, 1.0))


def outgoing_of(delivery: Delivery, page_url: str) -> Outgoing:
    """Return the message of an alert that waits."""
    return Outgoing(
        message_id=f"alert_{delivery.alert_id}",
        kind=delivery.kind,
        made_at=delivery.made_at,
        facts=delivery.facts,
        message=message_of(delivery.kind, delivery.facts, page_url=page_url),
    )


class Deliverer:
    """Sends what waits, to all receivers of a configuration, until it is stopped."""

    def __init__(
        self,
        lend: Lend,
        rules: Sequence[AlertRule],
        *,
        page_url: str,
        count: CountDelivery | None = None,
        wait_after: Callable[[int], timedelta] = backoff,
    ) -> None:
        """`lend` lends a connection for a moment, never while a message is under way."""
        self._lend = lend
        self._page_url = page_url
        self._count = count or _count_nothing
        self._wait_after = wait_after
        self._stopping = threading.Event()
        self._last_errors: dict[str, str] = {}
        self._threads = [
            threading.Thread(target=self._run, args=(rule,), name=f"callfare-alerts-{rule.name}", daemon=True)
            for rule in rules
        ]

    def start(self) -> None:
        """Start sending in the background."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop after the messages under way; one that takes long is left to the next start."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_STOP_SECONDS_MAX)

    def deliver_next(self, rule: AlertRule) -> bool:
        """Send the next message that a receiver has to get; False where there is none now."""
        with self._lend() as connection:
            delivery = claim(connection, rule.name)
        if delivery is None:
            return False
        answer = send(rule, outgoing_of(delivery, self._page_url))
        with self._lend() as connection:
            if answer.error:
                wait = answer.retry_after or self._wait_after(delivery.attempt_count)
                is_for_all = answer.retry_after is not None
                put_off(connection, delivery, wait=wait, error=answer.error, is_for_all=is_for_all)
            else:
                delivered(connection, delivery)
        self._report(rule.name, answer)
        return True

    def _run(self, rule: AlertRule) -> None:
        while not self._stopping.is_set():
            try:
                while not self._stopping.is_set() and self.deliver_next(rule):
                    pass
            except Exception as error:  # noqa: BLE001 - the database may be away; what waits is still there then
                self._complain(rule.name, f"{type(error).__name__}: {error}")
            self._stopping.wait(_LOOK_EVERY_SECONDS)

    def _report(self, receiver: str, answer: Answer) -> None:
        self._count(receiver, "failed" if answer.error else "delivered")
        if answer.error:
            self._complain(receiver, answer.error)
        elif self._last_errors.pop(receiver, None) is not None:
            _log.info("receiver %s takes alerts again", receiver)

    def _complain(self, receiver: str, error: str) -> None:
        """Log an error once, until it is another one."""
        if self._last_errors.get(receiver) != error:
            self._last_errors[receiver] = error
            _log.warning(
                "receiver %s does not take alerts, they wait and are tried again: %s", receiver, for_log(error)
            )


def _count_nothing(receiver: str, result: str) -> None:
    """Count nothing: there are no metrics here."""
    del receiver, result
