"""The end of a program that runs in the foreground: SIGTERM or Ctrl-C."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["told_to_stop"]


@contextmanager
def told_to_stop() -> Generator[threading.Event]:
    """Lend an event that is set when SIGTERM or Ctrl-C came. A second signal ends the process at once."""
    told = threading.Event()

    def tell(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        told.set()

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
