"""Cut a JSON document at a depth, without recursion, where the JSON parser ran out of stack."""

import re
from typing import Final

__all__ = ["cut_deep"]

_DEPTH_MAX: Final = 200
"""Deeper than any value that is kept, so that what was cut is still recognised as too deep."""
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def cut_deep(document: str) -> str:
    """Return the document with every container below the depth limit replaced by null."""
    kept: list[str] = []
    depth = kept_until = 0
    for token in _TOKEN.finditer(document):
        mark = token.group()
        if mark in ("[", "{"):
            depth += 1
            if depth == _DEPTH_MAX + 1:
                kept += (document[kept_until : token.start()], "null")
        elif mark in ("]", "}"):
            if depth == _DEPTH_MAX + 1:
                kept_until = token.end()
            depth -= 1
    return "".join(kept) + document[kept_until:] if depth <= _DEPTH_MAX else ""
