"""Work that repeats in a thread of its own until it is stopped."""

import logging
import threading
from collections.abc import Callable

__all__ = ["Repeating"]

_log = logging.getLogger(__name__)


class Repeating:
    """Calls a function periodically, the first time after the first wait. Errors are logged, not fatal."""

    def __init__(self, name: str, work: Callable[[], object], *, every_seconds: float) -> None:
        """Name the work; it begins with `start`."""
        self._name = name
        self._work = work
        self._every_seconds = every_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"callfare-{name}", daemon=True)

    def start(self) -> None:
        """Begin to wait for the first time."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 10) -> None:
        """Let what is under way finish, and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.wait(self._every_seconds):
            try:
                self._work()
            except Exception:  # noqa: BLE001 - the next time may work, and the service must live
                _log.exception("%s failed; it is tried again in %s s", self._name, self._every_seconds)
