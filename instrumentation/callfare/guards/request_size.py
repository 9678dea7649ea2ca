"""The length of a request to a model: its text in characters, and about how many tokens that is.

Only lengths are looked at. Encoded images, audio and files are no text; each is taken for as many tokens as a picture
of a million pixels usually is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["tokens_of_characters", "tokens_of_request"]

_CHARACTERS_PER_TOKEN: Final = 4
_TOKENS_PER_MEDIUM: Final = 1_000
_MEDIA: Final = frozenset({"data", "bytes", "file_data", "image_url", "inline_data", "inlineData"})
"""Keys under which vendors take encoded media, or their address."""
_DEPTH_MAX: Final = 32


def tokens_of_characters(characters: int) -> int:
    """About how many tokens a text of this length is, rounded up."""
    return -(-characters // _CHARACTERS_PER_TOKEN)


def tokens_of_request(*parts: Any) -> int:
    """About how many tokens these parts of a request are: texts, and mappings and sequences of them."""
    return sum(_tokens(part, 0) for part in parts)


def _tokens(part: Any, depth: int) -> int:
    if isinstance(part, str):
        return tokens_of_characters(len(part))
    if isinstance(part, (bytes, bytearray)):
        return _TOKENS_PER_MEDIUM
    if hasattr(part, "model_dump"):
        part = part.model_dump(exclude_none=True)
    return _tokens_inside(part, depth + 1) if depth < _DEPTH_MAX else 0


def _tokens_inside(part: Any, depth: int) -> int:
    if isinstance(part, Mapping):
        return sum(_TOKENS_PER_MEDIUM if name in _MEDIA else _tokens(each, depth) for name, each in part.items())
    if not isinstance(part, Sequence):
        return 0
    if part and all(type(each) is int for each in part):
        return len(part)  # an input that is tokens already
    return sum(_tokens(each, depth) for each in part)
