"""Waiting in tests: for the very thing that is read next, and with a patience that only a hang exhausts.

Deadlines cost nothing while all is well, and the machine that tests may be slow, shared, and stopped for seconds. So
none is short, and none says what a test is about. Standard library only: tests of older SDKs run in environments of
their own.
"""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 180.0
"""How long a test waits for another thread or process to do one thing."""
RUN_SECONDS_MAX = 500.0
"""How long a program may run from its start to its end; below the `timeout` of a test in pyproject.toml."""

_PAUSE_SECONDS = (0.005, 0.1)
"""The first pause between two looks, and the longest: who looks all the time slows down what he waits for."""
Seen = TypeVar("Seen")


def wait_until(what: str, look: Callable[[], Seen], *, seconds: float = PATIENCE_SECONDS) -> Seen:
    """The first truthy answer of `look`, or a failure that says what never came."""
    deadline_seconds, pause_seconds = time.monotonic() + seconds, _PAUSE_SECONDS[0]
    while not (answer := look()):
        if time.monotonic() > deadline_seconds:
            raise AssertionError(f"not within {seconds} s: {what}; last seen {answer!r}")
        time.sleep(pause_seconds)
        pause_seconds = min(1.3 * pause_seconds, _PAUSE_SECONDS[1])
    return answer
