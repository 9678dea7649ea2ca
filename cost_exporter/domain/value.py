"""`@value`: an immutable value object without the overhead, for the few classes that are made for every span.

`dataclass(frozen=True)` writes each field through `object.__setattr__`, which makes an object of 20 fields about three
times as slow. So here only the type checker enforces immutability: it sees these classes as frozen. Every other class
is a plain `@dataclass(frozen=True, slots=True, kw_only=True)`.

Where even the keywords of a constructor are too slow, a function beside the class (`copy_usage`, `copy_call`,
`billed_record`) fills an object from `new` field by field, which takes a quarter of the time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from types import FunctionType
from typing import Any, Final, TypeVar, cast, dataclass_transform

__all__ = ["fills", "new", "value"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

new: Final[Callable[[type], Any]] = object.__new__
"""Make an object whose fields are not set yet. It is `Any`, so that the type checker lets them be set."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make `cls` a slotted, keyword-only dataclass that the type checker treats as frozen."""
    decorate: Callable[[type[T]], type[T]] = dataclass(slots=True, kw_only=True)
    return decorate(cls)


def fills(cls: type) -> Callable[[F], F]:
    """Check once, at import, that a function which fills an object by hand names every field of the class."""

    def checked(function: F) -> F:
        forgotten = {each.name for each in fields(cls)} - set(cast("FunctionType", function).__code__.co_names)
        assert not forgotten, f"{function.__name__} does not set {sorted(forgotten)}"
        return function

    return checked
