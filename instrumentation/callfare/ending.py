"""Actions before the process ends, besides ending open calls and sessions: report what only the open object knows."""

from collections.abc import Callable

from callfare.guard import quietly

__all__ = ["before_the_end", "run_last_words"]

_last_words: dict[str, Callable[[], None]] = {}


def before_the_end(name: str, say: Callable[[], None]) -> None:
    """Call this once the process is about to exit; one function a name."""
    _last_words[name] = say


def run_last_words() -> None:
    """Call them all, whatever one of them raises."""
    for say in list(_last_words.values()):
        quietly(say)()
