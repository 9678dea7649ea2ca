"""`@value`: a value object that is cheap to build, and functions that build and copy one in a single call.

`dataclass(frozen=True)` writes each field through `object.__setattr__`, which makes a 20-field object four
times slower to build, and the ingest path builds several per span. So only the type checker enforces
immutability: it sees these classes as frozen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

__all__ = ["copier", "maker", "value"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make `cls` a slotted, keyword-only dataclass that the type checker treats as frozen."""
    decorate: Callable[[type[T]], type[T]] = dataclass(slots=True, kw_only=True)
    return decorate(cls)


def maker(cls: type[T], *given: str) -> Callable[..., T]:
    """Return a function of the values of the fields `given`, in this order, that makes an object; the rest is default.

    A call with the 14 keywords of a `CostRecord` is dear where it is made for every span.
    """
    defaults = {each.name: each.default for each in _fields(cls) if each.name not in given}
    assert MISSING not in defaults.values(), defaults
    values = [name if name in given else f"defaults[{name!r}]" for name in _names(cls)]
    return _compiled(cls, values, given, {"defaults": defaults})


def copier(cls: type[T], *replaced: str) -> Callable[..., T]:
    """Return a function of an object and the values of the fields `replaced`, in this order, that copies the object.

    It is `dataclasses.replace` with the names given once instead of each time.
    """
    values = [name if name in replaced else f"original.{name}" for name in _names(cls)]
    return _compiled(cls, values, ("original", *replaced), {})


def _compiled(
    cls: type[T], values: Sequence[str], parameters: Sequence[str], known: Mapping[str, Any]
) -> Callable[..., T]:
    """Compile what one would write by hand, as dataclasses makes `__init__`: one assignment a field."""
    names = _names(cls)
    assert set(parameters) <= {*names, "original"}, parameters
    lines = [f"    made.{name} = {said}" for name, said in zip(names, values, strict=True)]
    source = [f"def make({', '.join(parameters)}):", "    made = new(cls)", *lines, "    return made"]
    namespace: dict[str, Any] = {"new": object.__new__, "cls": cls, **known}
    exec("\n".join(source), namespace)  # noqa: S102 - names of fields only
    return namespace["make"]


def _names(cls: type) -> list[str]:
    return [each.name for each in _fields(cls)]


def _fields(cls: type) -> tuple[Field[Any], ...]:
    return fields(cls)
