"""The named SQL statements of `sql/queries.sql`: one place to read all the SQL that the store runs.

A statement starts with its name on a line of its own, `-- name --`, and ends where the next one starts.
"""

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

__all__ = ["statement", "statements"]

_NAME = re.compile(r"^-- ([a-z][a-z0-9_]*) --$", re.MULTILINE)


@cache
def statements() -> dict[str, LiteralString]:
    """Return every named statement by its name. Two of one name are a mistake and refused."""
    text = files("cost_exporter.store").joinpath("sql/queries.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    names = parts[::2]
    assert len(names) == len(set(names)), "two statements of one name in queries.sql"
    return {name: cast("LiteralString", body.strip()) for name, body in zip(names, parts[1::2], strict=True)}


def statement(name: str) -> LiteralString:
    """Return the statement of this name."""
    return statements()[name]
