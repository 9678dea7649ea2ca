"""One thread that ends what takes too long: senders that open a call and do not send (slow loris)."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

__all__ = ["Watchdog", "Watched"]

_SWEEP_SECONDS: Final = 0.5


class Watched:
    """Something with a deadline."""

    __slots__ = ("deadline_seconds", "end", "has_expired")

    def __init__(self, deadline_seconds: float, end: Callable[[], object]) -> None:
        self.deadline_seconds = deadline_seconds
        self.end = end
        self.has_expired = False


class Watchdog:
    """Calls `end` on everything that is watched for longer than allowed. Thread-safe."""

    def __init__(self, seconds_max: float, monotonic_seconds: Callable[[], float]) -> None:
        self._seconds_max = seconds_max
        self._monotonic_seconds = monotonic_seconds
        self._watched: set[Watched] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to sweep."""
        threading.Thread(target=self._run, name="otlp-watchdog", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    @contextmanager
    def watch(self, end: Callable[[], object]) -> Generator[Watched, None, None]:
        """Watch the block; `has_expired` is true afterwards if it was ended."""
        watched = Watched(self._monotonic_seconds() + self._seconds_max, end)
        with self._lock:
            self._watched.add(watched)
        try:
            yield watched
        finally:
            with self._lock:
                self._watched.discard(watched)

    def _run(self) -> None:
        while not self._stopping.wait(_SWEEP_SECONDS):
            now_seconds = self._monotonic_seconds()
            with self._lock:
                expired = [each for each in self._watched if each.deadline_seconds < now_seconds]
            for each in expired:
                each.has_expired = True
                each.end()
