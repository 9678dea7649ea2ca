"""Threads for gRPC calls: a bounded number that work, and one that only refuses.

grpcio hands every call to its thread pool, whose queue has no bound: calls pile up in memory until their
deadlines pass. Its own bound, `maximum_concurrent_rpcs`, answers RESOURCE_EXHAUSTED, for which Collectors drop
the batch. So calls beyond a bounded queue go to a thread of their own, where the handler sees `is_overflow_thread`
and answers UNAVAILABLE at once, without reading the message.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["BoundedPool", "is_overflow_thread"]

P = ParamSpec("P")
R = TypeVar("R")
_THREAD = threading.local()


def is_overflow_thread() -> bool:
    """Whether this thread may only refuse."""
    return getattr(_THREAD, "is_overflow_thread", False)


class BoundedPool(ThreadPoolExecutor):
    """A thread pool with a bounded queue and a lane for what does not fit."""

    def __init__(self, threads: int, queued_max: int) -> None:
        super().__init__(max_workers=threads, thread_name_prefix="otlp-grpc")
        self._room = threading.BoundedSemaphore(threads + queued_max)
        self._refusing = ThreadPoolExecutor(1, "otlp-grpc-refuse", initializer=_mark_refusing)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run in a working thread if there is room, else in the one that refuses."""
        if not self._room.acquire(blocking=False):
            return self._refusing.submit(fn, *args, **kwargs)
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop both lanes."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        self._refusing.shutdown(wait, cancel_futures=cancel_futures)


def _mark_refusing() -> None:
    _THREAD.is_overflow_thread = True
