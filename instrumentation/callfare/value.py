"""`@value`: an immutable value object without the price of one.

`dataclass(frozen=True)` writes each field through `object.__setattr__`, which costs more than all else in making the
object, and one is made for every call. So immutability is checked where it costs nothing: by the type checker.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

__all__ = ["value"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make `cls` a slotted, keyword-only dataclass that the type checker treats as frozen."""
    decorate: Callable[[type[T]], type[T]] = dataclass(slots=True, kw_only=True)
    return decorate(cls)
