"""The end of a program that runs in the foreground: SIGTERM or Ctrl-C.

The kernel may give a signal to any thread. A main thread that waits for a lock is not woken by one that another thread
got, so it waits for a byte, which is written by whichever thread gets the signal.
"""

import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["StopRequest", "stop_on_signal"]


class StopRequest:
    """Whether the program was asked to end, for its main thread alone."""

    def __init__(self, waker: socket.socket) -> None:
        """A byte comes through `waker` with each signal."""
        self._waker = waker
        self._is_set = False

    def set(self) -> None:
        """Ask it to end."""
        self._is_set = True

    def is_set(self) -> bool:
        """Return whether it was asked to."""
        return self._is_set

    def wait(self) -> None:
        """Return when it is asked to."""
        while not self._is_set:
            self._waker.recv(1)  # the handler runs before the next look


@contextmanager
def stop_on_signal() -> Generator[StopRequest]:
    """Lend what is set when SIGTERM or Ctrl-C came. A second signal ends the process at once."""
    waker, woken_by = socket.socketpair()
    woken_by.settimeout(0)
    stopping = StopRequest(waker)

    def tell(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    descriptor_before = signal.set_wakeup_fd(woken_by.fileno(), warn_on_full_buffer=False)
    try:
        yield stopping
    finally:
        signal.set_wakeup_fd(descriptor_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        waker.close()
        woken_by.close()
