"""How long a small group waits for company before it is committed.

A commit costs about the same for one span as for ten. So a commit does not begin within a few milliseconds of the one
before it, unless there is much to commit. Where nothing comes meanwhile, such as from one sender that waits for each
answer, there is no company to wait for, and waiting is only tried again now and then.
"""

from typing import Final

__all__ = ["Linger"]

_SECONDS: Final = 0.012
_LONELY_MAX: Final = 2
_SKIPPED: Final = 30


class Linger:
    """Decides for the writers of one committer. Used under its lock."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._began_at_seconds = float("-inf")
        self._waiting_count = 0
        """How many requests there were when the wait began; 0 where nothing waits."""
        self._lonely_count = 0
        self._skip_count = 0

    def seconds(self, waiting_count: int, now_seconds: float) -> float:
        """Return for how long this number of requests should still wait; 0 where they should not."""
        remaining_seconds = self._began_at_seconds + self._seconds - now_seconds
        if remaining_seconds <= 0 or self._skip_count:
            return 0.0
        self._waiting_count = self._waiting_count or waiting_count
        return remaining_seconds

    def begin(self, group_count: int, now_seconds: float) -> None:
        """Note that a commit of this number of requests begins."""
        self._began_at_seconds = now_seconds
        if self._skip_count:
            self._skip_count -= 1
        elif self._waiting_count:
            self._lonely_count = 0 if group_count > self._waiting_count else self._lonely_count + 1
            if self._lonely_count >= _LONELY_MAX:
                self._lonely_count, self._skip_count = 0, _SKIPPED
        self._waiting_count = 0
