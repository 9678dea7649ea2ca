"""The one event loop on which requests arrive and are answered, whichever way they come.

One thread moves bytes and waits for all requests at a time. With a thread for each, half of the CPU of small requests
went into switching between them.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

__all__ = ["on_event_loop", "receiving_loop"]

T = TypeVar("T")
_LOCK: Final = threading.Lock()
_LOOPS: Final[list[asyncio.AbstractEventLoop]] = []


def receiving_loop() -> asyncio.AbstractEventLoop:
    """Return the loop; it runs in a thread of its own, from its first use to the end of the process."""
    with _LOCK:
        if not _LOOPS:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="receiving", daemon=True).start()
            _LOOPS.append(loop)
        return _LOOPS[0]


def on_event_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run the work on the loop and return its result. Not from the loop itself."""
    return asyncio.run_coroutine_threadsafe(work, receiving_loop()).result()
