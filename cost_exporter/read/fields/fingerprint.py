"""A short text that stands for what many spans say alike, so that hashing one of them is cheap."""

from hashlib import blake2b
from typing import NamedTuple

__all__ = ["fingerprint", "named"]


def fingerprint(text: str) -> str:
    """Return a short text for what many spans say alike."""
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def named(group: NamedTuple) -> str:
    """Return as text what a named tuple says, each field by its name, in the order of the names.

    Fields that say nothing are left out. So a field that is added later, or one that moves, changes no text of a
    tuple that says nothing there.
    """
    defaults = group._field_defaults
    fields = sorted(group._asdict().items())
    return " ".join([f"{name}={value!r}" for name, value in fields if value not in (None, "", defaults.get(name))])
