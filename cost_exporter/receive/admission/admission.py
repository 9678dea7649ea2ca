"""Let in only as much as memory allows: a number of requests, and a budget of undecoded bytes (rule 24).

A request without a free slot waits up to two seconds and is then refused with "try again" (`Overloaded`). Nothing is
queued without bound, and a refused sender keeps its batch.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cost_exporter.errors import Overloaded

__all__ = ["Admission", "AdmissionLimits", "Permit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """How much is let in at a time, and how long one waits for it."""

    slots: int = 32
    bytes_max: int = 128 * 1024 * 1024
    wait_seconds_max: float = 2.0


class Admission:
    """The rooms that all receivers share. Thread-safe."""

    def __init__(
        self, limits: AdmissionLimits | None = None, *, monotonic_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits or AdmissionLimits()
        self._monotonic_seconds = monotonic_seconds
        self._changed = threading.Condition()
        self._slots_taken = 0
        self._bytes_held = 0

    def enter(self) -> "Permit":
        """Return a permit, waiting for a slot if needed. Raises `Overloaded`."""
        permit = Permit(self, self._monotonic_seconds() + self.limits.wait_seconds_max)
        self._wait_until(self._take_slot, permit.deadline_seconds, "no free slot")
        return permit

    def try_enter(self) -> "Permit | None":
        """Return a permit if there is a slot right now."""
        with self._changed:
            has_slot = self._take_slot()
        return Permit(self, self._monotonic_seconds() + self.limits.wait_seconds_max) if has_slot else None

    def hold(self, size_bytes: int, deadline_seconds: float) -> None:
        """Take `size_bytes` of the budget. Raises `Overloaded`."""
        self._wait_until(lambda: self._take_bytes(size_bytes), deadline_seconds, "no room for its bytes")

    def leave(self, bytes_held: int) -> None:
        """Give a slot and its bytes back."""
        with self._changed:
            self._slots_taken -= 1
            self._bytes_held -= bytes_held
            assert self._slots_taken >= 0 <= self._bytes_held
            self._changed.notify_all()

    def _wait_until(self, has_taken: Callable[[], bool], deadline_seconds: float, why: str) -> None:
        with self._changed:
            while not has_taken():
                remaining_seconds = deadline_seconds - self._monotonic_seconds()
                if remaining_seconds <= 0:
                    raise Overloaded(f"too busy ({why}); try again")
                self._changed.wait(remaining_seconds)

    def _take_slot(self) -> bool:
        if self._slots_taken >= self.limits.slots:
            return False
        self._slots_taken += 1
        return True

    def _take_bytes(self, size_bytes: int) -> bool:
        # A request larger than the whole budget is let in when it is alone, or it never would be.
        if self._bytes_held and self._bytes_held + size_bytes > self.limits.bytes_max:
            return False
        self._bytes_held += size_bytes
        return True


class Permit:
    """One request's slot, and the bytes it holds; given back at the end of the `with` block."""

    def __init__(self, admission: Admission, deadline_seconds: float) -> None:
        self._admission = admission
        self.deadline_seconds = deadline_seconds
        self._bytes_held = 0

    def hold(self, size_bytes: int) -> None:
        """Take bytes of the budget, waiting for what is left of the two seconds. Raises `Overloaded`."""
        self._admission.hold(size_bytes, self.deadline_seconds)
        self._bytes_held += size_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._admission.leave(self._bytes_held)
