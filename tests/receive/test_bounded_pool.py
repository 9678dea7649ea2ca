"""A pool of threads with a bound: what does not fit is refused at once."""

import threading

from cost_exporter.receive.grpc.bounded_pool import BoundedPool, is_overflow_thread
from tests.support.waiting import PATIENCE_SECONDS


def test_what_does_not_fit_is_refused_at_once_and_nothing_piles_up() -> None:
    """One works, one waits; a third goes to the thread that refuses and is done before either."""
    pool = BoundedPool(threads=1, queued_max=1)
    release = threading.Event()
    try:
        working, waiting = pool.submit(release.wait, PATIENCE_SECONDS), pool.submit(is_overflow_thread)
        assert pool.submit(is_overflow_thread).result(timeout=PATIENCE_SECONDS) is True
        assert not working.done()
        assert not waiting.done()
        release.set()
        assert waiting.result(timeout=PATIENCE_SECONDS) is False
        assert pool.submit(is_overflow_thread).result(timeout=PATIENCE_SECONDS) is False
    finally:
        release.set()
        pool.shutdown()
