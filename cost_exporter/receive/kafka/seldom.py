"""Keep a library that logs each attempt from filling the log: one line of a kind in half a minute.

librdkafka writes a line each time that it cannot connect, some twenty a second while no broker answers.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["QUIET_SECONDS", "Seldom"]

QUIET_SECONDS: Final = 30.0


class Seldom(logging.Filter):
    """Passes the first line of a kind, which is its first word, and then one in half a minute."""

    def __init__(self, monotonic_seconds: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic_seconds = monotonic_seconds
        self._passed_at_seconds: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is written; say of one that is how many like it were not."""
        text = record.getMessage()
        kind = text.partition(" ")[0]
        now_seconds = self._monotonic_seconds()
        if now_seconds - self._passed_at_seconds.get(kind, -QUIET_SECONDS) < QUIET_SECONDS:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        self._passed_at_seconds[kind] = now_seconds
        if left_out := self._left_out.pop(kind, 0):
            record.msg, record.args = f"{text} (and {left_out} like it before)", ()
        return True
