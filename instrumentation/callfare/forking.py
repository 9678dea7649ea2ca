"""Objects that begin anew in a forked child: what they hold, locks, threads and connections, is the parent's."""

import os
import weakref
from typing import Protocol

__all__ = ["BeginsAnew", "begin_anew_in_children"]


class BeginsAnew(Protocol):
    """Something that a child must not go on with."""

    def begin_anew(self) -> None:
        """Forget everything that belongs to the parent."""
        ...


def begin_anew_in_children(one: BeginsAnew) -> None:
    """Have it begin anew in every child. Weakly held: it may go before the process."""
    reference = weakref.ref(one)

    def begin_anew() -> None:
        known = reference()
        if known is not None:
            known.begin_anew()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin_anew)
