"""`@value`: an immutable value object without the price of one.

`dataclass(frozen=True)` writes each field through `object.__setattr__`, which makes a 20-field object four
times dearer to build, and the ingest path builds several a span. So immutability is checked where it costs
nothing: by the type checker, which sees these classes as frozen.
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
