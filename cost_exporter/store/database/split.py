"""Cut a migration into its statements, so that each runs by itself.

PostgreSQL takes a file of statements as one message, but not every server that speaks its protocol does, and an error
says more about one statement than about a file. Strings, quoted names, dollar-quoted bodies and comments may hold
semicolons; bodies in the form `begin atomic` are not understood and are refused.
"""

import re
from collections.abc import Iterator
from typing import Final, LiteralString, cast

__all__ = ["split_statements"]

_PART: Final = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\*.*?\*/ )
  | (?P<quoted>  [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | (?P<tag>\$\w*\$).*?(?P=tag) )
  | (?P<end>     ; )
  | (?P<text>    \w+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_ATOMIC: Final = re.compile(r"\bbegin\s+atomic\b", re.IGNORECASE)


def split_statements(text: LiteralString) -> list[LiteralString]:
    """Return the statements of `text`, without their comments and semicolons."""
    return [cast("LiteralString", statement) for statement in _statements(text) if statement]


def _statements(text: str) -> Iterator[str]:
    parts: list[str] = []
    for match in _PART.finditer(text):
        if match["end"]:
            yield _joined(parts)
            parts = []
        else:
            parts.append(" " if match["comment"] else match[0])
    yield _joined(parts)


def _joined(parts: list[str]) -> str:
    statement = "".join(parts).strip()
    if _ATOMIC.search(statement):
        raise ValueError("a body in the form `begin atomic` cannot be cut out: write it between $$")
    return statement
