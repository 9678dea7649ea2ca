"""Track the batches that keep failing through our own fault, so that they do not block their sender for ever.

A Collector without a time limit sends a batch until it is taken. If a bug of ours refuses it each time, nothing
behind it would ever arrive. After a bounded time the batch is moved to dead letters (rule 23).
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

__all__ = ["StuckBatches", "batch_name"]

_BATCHES_MAX: Final = 10_000
"""Beyond it the oldest is forgotten: its time starts again, so it is late but never wrong."""


def batch_name(namespace: str, body: bytes) -> bytes:
    """Return the hash that identifies a batch when it is sent again: its namespace and its bytes."""
    return hashlib.sha256(namespace.encode() + b"\0" + body).digest()


class StuckBatches:
    """When each failing batch failed first. Thread-safe, bounded, in memory: a restart resets the time."""

    def __init__(
        self, patience_seconds: float = 3_600, *, monotonic_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience_seconds = patience_seconds
        self._monotonic_seconds = monotonic_seconds
        self._first_failed_seconds: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def is_empty(self) -> bool:
        """Whether no batch is failing. Cheap, because every request checks it."""
        return not self._first_failed_seconds

    def is_given_up(self, batch: bytes) -> bool:
        """Note that a batch failed; return whether it has been failing for longer than `patience_seconds`."""
        now_seconds = self._monotonic_seconds()
        with self._lock:
            first_failed_seconds = self._first_failed_seconds.setdefault(batch, now_seconds)
            if len(self._first_failed_seconds) > _BATCHES_MAX:
                self._first_failed_seconds.popitem(last=False)
        return now_seconds - first_failed_seconds >= self._patience_seconds

    def forget(self, batch: bytes) -> None:
        """Forget a batch that was stored or moved to dead letters."""
        with self._lock:
            self._first_failed_seconds.pop(batch, None)
