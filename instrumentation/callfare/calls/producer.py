"""The producer of a billable span, and the span's running number, so that a lost one leaves a visible gap.

The id is new in every process, also after a fork; the number counts finished billable spans without holes.
"""

import itertools
import os
import uuid

from callfare import attributes as names

__all__ = ["next_stamp"]


class _Producer:
    """Id and counter of this process."""

    __slots__ = ("identity", "numbers")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.identity = uuid.uuid4().hex
        self.numbers = itertools.count(1)


_producer = _Producer()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_producer.renew)


def next_stamp() -> dict[str, str | int]:
    """Attributes for the next billable span; call it once, as the span ends."""
    return {names.PRODUCER_ID: _producer.identity, names.PRODUCER_SEQUENCE: next(_producer.numbers)}
