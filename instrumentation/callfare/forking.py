"""Reset objects in a forked child: their locks, threads and connections belong to the parent."""

import os
import weakref
from typing import Protocol

__all__ = ["ResetsAfterFork", "reset_after_fork"]


class ResetsAfterFork(Protocol):
    """Something that a child must not go on with."""

    def reset_after_fork(self) -> None:
        """Forget everything that belongs to the parent."""
        ...


def reset_after_fork(one: ResetsAfterFork) -> None:
    """Reset it in every child. Weakly held: it may be collected before the process ends."""
    reference = weakref.ref(one)

    def reset_after_fork() -> None:
        known = reference()
        if known is not None:
            known.reset_after_fork()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset_after_fork)
