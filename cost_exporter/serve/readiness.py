"""Whether the service can take spans now, answered within a bounded time, also where the database or a worker hangs.

A server that is stopped, or whose disk hangs, refuses nothing: it acknowledges every byte and answers none. So the
question is asked in a thread of its own, and a caller waits for its answer for two seconds at most. Callers share
one question: a database that hangs keeps one connection busy and not one for each probe.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Final

from cost_exporter.errors import StoreError
from cost_exporter.store.reading import Reader

__all__ = ["Readiness"]

_SECONDS_MAX: Final = 2.0
_NO_WORKER: Final = "no worker gives a sign of life; hung ones are replaced within a minute"


class Readiness:
    """Answers `/readyz`."""

    def __init__(
        self,
        lend: Callable[[], AbstractContextManager[Reader]],
        is_receiving: Callable[[], bool],
        *,
        seconds_max: float = _SECONDS_MAX,
        not_receiving: str = _NO_WORKER,
    ) -> None:
        self._lend = lend
        self._is_receiving = is_receiving
        self._seconds_max = seconds_max
        self._not_receiving = not_receiving
        self._thread = ThreadPoolExecutor(1, "readiness")
        self._asking: Future[str] | None = None

    async def problem(self) -> str:
        """Return why no spans can be taken now; "" where they can."""
        if self._asking is None or self._asking.done():
            self._asking = self._thread.submit(self._asked)
        try:
            async with asyncio.timeout(self._seconds_max):
                return await asyncio.shield(asyncio.wrap_future(self._asking))
        except TimeoutError:
            return "the database does not answer; is its server stopped, or its disk hung?"

    def _asked(self) -> str:
        if not self._is_receiving():
            return self._not_receiving
        try:
            with self._lend() as reader:
                reader.is_alive()
        except StoreError as error:
            return str(error)
        return ""
