"""A short text that stands for what many spans say alike, so that hashing one of them is cheap."""

from hashlib import blake2b

__all__ = ["fingerprint"]


def fingerprint(said: object) -> str:
    """Return a short text for what many spans say alike: texts, numbers, flags, None, and plain tuples of these."""
    return blake2b(repr(said).encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
