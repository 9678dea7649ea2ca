"""How a conversation goes: turns, interruptions, and how long nobody speaks.

In: who begins and stops to speak, as a framework reports it. Out: numbers on the span of the call. What the framework
does not report is on no span: an agent whose speech is not reported is neither interrupted nor silent.
"""

import threading
import time
from collections.abc import Callable

from callfare import attributes as names
from callfare.calls.span import AttributeValue

__all__ = ["Conversation"]


class Conversation:
    """One conversation. Safe to use from several threads."""

    def __init__(self, monotonic_seconds: Callable[[], float] = time.monotonic) -> None:
        """Begin before the first word."""
        self._now_seconds = monotonic_seconds
        self._lock = threading.Lock()
        self._speaking: dict[str, bool] = {}
        """By side, from its first word on."""
        self._quiet_since_seconds: float | None = None
        self._dead_air_seconds = 0.0
        self._turn_count: int | None = None
        self._interruption_count: int | None = None

    def caller(self, *, is_speaking: bool, is_counted: bool = True) -> None:
        """The caller begins or stops to speak; not counted where the framework counts turns and interruptions."""
        with self._lock:
            if not self._changes("caller", is_speaking=is_speaking) or not is_counted:
                return
            if is_speaking and self._speaking.get("agent"):
                self._interruption_count = (self._interruption_count or 0) + 1
            if not is_speaking:
                self._turn_count = (self._turn_count or 0) + 1

    def agent(self, *, is_speaking: bool) -> None:
        """The agent begins or stops to speak."""
        with self._lock:
            self._changes("agent", is_speaking=is_speaking)

    def add_turn(self) -> None:
        """A framework that counts itself reports a turn of the caller."""
        with self._lock:
            self._turn_count = (self._turn_count or 0) + 1

    def add_interruption(self) -> None:
        """A framework that counts itself reports that the agent was interrupted."""
        with self._lock:
            self._interruption_count = (self._interruption_count or 0) + 1

    def attributes(self) -> dict[str, AttributeValue]:
        """What is known of it by now."""
        with self._lock:
            known: dict[str, AttributeValue] = {}
            has_both = len(self._speaking) > 1
            if self._turn_count is not None:
                known[names.CALL_TURNS] = self._turn_count
            if self._interruption_count is not None or has_both:
                known[names.CALL_INTERRUPTIONS] = self._interruption_count or 0
            if has_both:
                known[names.CALL_DEAD_AIR_SECONDS] = round(self._dead_air_seconds, 3)
            return known

    def _changes(self, side: str, *, is_speaking: bool) -> bool:
        """Note who speaks; False where that is no news. Frameworks report one thing several times."""
        if self._speaking.get(side, False) == is_speaking:
            return False
        self._speaking[side] = is_speaking
        now_seconds = self._now_seconds()
        if is_speaking and self._quiet_since_seconds is not None:
            self._dead_air_seconds += now_seconds - self._quiet_since_seconds
            self._quiet_since_seconds = None
        elif not any(self._speaking.values()):
            self._quiet_since_seconds = now_seconds
        return True
