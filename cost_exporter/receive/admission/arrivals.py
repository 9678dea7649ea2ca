"""Bodies on their way: how long each may take, and how many there may be at a time.

A slow sender costs a connection and what it has sent, and no slot. Where too many bodies are on their way the one that
has been longest is cut off: its sender tries again, and nobody else waits for it.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from cost_exporter.errors import Overloaded

__all__ = ["Arrivals", "Deadline", "SlowSender"]

_COUNT_MAX: Final = 1_024
_GRACE_SECONDS: Final = 5.0
_BYTES_PER_SECOND_MIN: Final = 4_096
"""A modem's 33.6 kbit/s. What is slower than that holds on to a connection and does not send."""


class SlowSender(Overloaded):
    """The request did not arrive in time; others needed its place."""


class Deadline:
    """Until when a body must have arrived. It moves as bytes come."""

    def __init__(self, timeout: asyncio.Timeout, seconds_max: float, grace_seconds: float) -> None:
        self._timeout = timeout
        self._began_at_seconds = asyncio.get_running_loop().time()
        self._seconds_max = seconds_max
        self._grace_seconds = grace_seconds
        self.received(0)

    def received(self, total_bytes: int) -> None:
        """Note how many bytes have come."""
        allowed_seconds = min(self._seconds_max, self._grace_seconds + total_bytes / _BYTES_PER_SECOND_MIN)
        self._timeout.reschedule(self._began_at_seconds + allowed_seconds)

    def pass_now(self) -> None:
        """Cut the sender off."""
        self._timeout.reschedule(self._began_at_seconds)


class Arrivals:
    """The bodies on their way to one receiver. Used on its event loop alone."""

    def __init__(
        self, *, seconds_max: float, grace_seconds: float = _GRACE_SECONDS, count_max: int = _COUNT_MAX
    ) -> None:
        self._seconds_max = seconds_max
        self._grace_seconds = min(grace_seconds, seconds_max)
        self._count_max = count_max
        self._deadlines: dict[Deadline, None] = {}

    @asynccontextmanager
    async def arriving(self) -> AsyncGenerator[Deadline]:
        """Let a body arrive within the block. Raises `SlowSender` where it does not in time."""
        try:
            async with asyncio.timeout(None) as timeout:
                deadline = Deadline(timeout, self._seconds_max, self._grace_seconds)
                self._deadlines[deadline] = None
                if len(self._deadlines) > self._count_max:
                    oldest = next(iter(self._deadlines))
                    del self._deadlines[oldest]
                    oldest.pass_now()
                try:
                    yield deadline
                finally:
                    self._deadlines.pop(deadline, None)
        except TimeoutError as error:
            raise SlowSender("the request did not arrive in time; try again") from error
