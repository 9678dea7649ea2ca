"""The paid extras that a request asks for: add-ons that are billed but have no metered quantity.

In: the request's parameters by name, and the names of the extras that are charged. Out: the names of those that are
switched on, as one text. Names only: the value of an extra, for example its key terms, is content.
"""

from collections.abc import Callable, Iterable

__all__ = ["requested_extras"]

_OFF = frozenset({"", "false", "none", "null", "0", "[]", "{}"})


def requested_extras(charged: Iterable[str], asked: Callable[[str], object]) -> str:
    """The charged ones that `asked` has a value for, sorted, joined by commas; "" for none."""
    return ",".join(sorted(name for name in charged if _is_on(asked(name))))


def _is_on(stated: object) -> bool:
    """Whether a value, or its text in an address, switches something on; the SDKs' Ellipsis is nothing stated."""
    if isinstance(stated, str):
        return stated.strip().lower() not in _OFF
    return stated is not ... and bool(stated)
