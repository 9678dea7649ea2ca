"""Take the times of a span where they are plausible, else the time of receipt (rule 13).

Integers only: nanoseconds since 1970 do not fit a float, and years after 2262 do not fit 64 signed bits.
"""

from typing import Final

__all__ = ["EARLIEST_UNIX_NS", "LATEST_UNIX_NS", "latest_start", "plausible_times"]

EARLIEST_UNIX_NS: Final = 1_577_836_800 * 10**9
"""2020-01-01T00:00:00Z."""
LATEST_UNIX_NS: Final = 2**63 - 1
_AHEAD_NS_MAX: Final = 5 * 60 * 10**9


def latest_start(received_at_unix_ns: int) -> int:
    """Return the latest plausible start: clocks of others may be ahead of ours, by minutes."""
    return min(received_at_unix_ns + _AHEAD_NS_MAX, LATEST_UNIX_NS)


def plausible_times(started_at_unix_ns: int, ended_at_unix_ns: int, received_at_unix_ns: int) -> tuple[int, int, bool]:
    """Return start, end, and whether the start is as sent.

    An end that is missing, before the start or absurd becomes the start.
    """
    latest = latest_start(received_at_unix_ns)
    if not EARLIEST_UNIX_NS <= started_at_unix_ns <= latest:
        return (received_at_unix_ns, received_at_unix_ns, False)
    if started_at_unix_ns <= ended_at_unix_ns <= latest:
        return (started_at_unix_ns, ended_at_unix_ns, True)
    return (started_at_unix_ns, started_at_unix_ns, True)
