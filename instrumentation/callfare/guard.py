"""Telemetry never breaks the application: our own errors are caught here, logged once and counted.

In: a function of ours. Out: the same function, which returns None instead of raising. The vendor's own
exceptions never pass through here: they are raised outside guarded code and reach the application unchanged.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["internal_error_count", "note_internal_error", "quietly"]

_log = logging.getLogger("callfare")
_P = ParamSpec("_P")
_R = TypeVar("_R")
_seen: set[tuple[str, str]] = set()
_count = 0


def internal_error_count() -> int:
    """How many of our own errors were swallowed in this process."""
    return _count


def note_internal_error(place: str, error: BaseException) -> None:
    """Count an error of ours; log it the first time this kind happens at this place.

    The text of the error is left out: it may quote what the application sent.
    """
    global _count  # noqa: PLW0603 - one counter a process
    _count += 1
    kind = (place, type(error).__name__)
    if kind in _seen:
        _log.debug("%s failed again", place, exc_info=error)
        return
    _seen.add(kind)
    _log.warning("%s failed with %s; the call itself is untouched, its usage may be missing", place, kind[1])


def quietly(function: Callable[_P, _R]) -> Callable[_P, _R | None]:
    """Make a function of ours return None where it would raise."""

    @wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - this is the one place that swallows
            note_internal_error(function.__qualname__, error)
            return None

    return guarded
