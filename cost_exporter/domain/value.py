"""`@value`: an immutable value object without the price of one; `copier`: copies of it at the price of a call.

`dataclass(frozen=True)` writes each field through `object.__setattr__`, which makes a 20-field object four
times dearer to build, and the ingest path builds several a span. So immutability is checked where it costs
nothing: by the type checker, which sees these classes as frozen.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

__all__ = ["copier", "value"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make `cls` a slotted, keyword-only dataclass that the type checker treats as frozen."""
    decorate: Callable[[type[T]], type[T]] = dataclass(slots=True, kw_only=True)
    return decorate(cls)


def copier(cls: type[T], *replaced: str) -> Callable[..., T]:
    """Return a function of an object and the values of the fields `replaced`, in this order, that copies the object.

    It is `dataclasses.replace` with the names given once instead of each time, and the source of it is what one
    would write by hand: a call with the 26 fields of a `Call` by keyword is dear where it is made for every span.
    """
    names = [each.name for each in fields(cls)]  # pyright: ignore[reportArgumentType] - a dataclass, as T cannot say
    unknown = set(replaced).difference(names)
    assert not unknown, unknown
    lines = [f"    copied.{name} = {name if name in replaced else f'original.{name}'}" for name in names]
    source = [f"def copy(original, {', '.join(replaced)}):", "    copied = new(cls)", *lines, "    return copied"]
    namespace: dict[str, Any] = {"new": object.__new__, "cls": cls}
    exec("\n".join(source), namespace)  # noqa: S102 - names of fields only; dataclasses makes __init__ in this way
    return namespace["copy"]
