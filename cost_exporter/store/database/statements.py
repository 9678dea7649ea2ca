"""The named SQL statements of `sql/`, where all the SQL is that names a table or view of ours.

A file has the name of the module that runs its statements: `sql/rerate.sql` for `store/rerate.py`; `ledger.sql` serves
the package `store/ledger`. A statement starts with its name on a line of its own, `-- name --`. Then comes what it does
or returns, one comment of a sentence or two, and then one statement with its semicolon. No two statements have the same
name, whatever their file. `{partition}` and the like are identifiers for `psycopg.sql`.

Only what concerns the session or the server and none of our tables may stand where it is run: `set local`, advisory
locks, a setting that is read, `create database`.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Final, LiteralString, cast

__all__ = ["statement", "statements"]

_NAME: Final = re.compile(r"^-- ([a-z][a-z0-9_]*) --$", re.MULTILINE)
_DESCRIPTION: Final = re.compile(r"(?:--[^\n]*\n)+")
_DESCRIPTIONS_OF_TABLES: Final = "comments.sql"


@cache
def statements() -> dict[str, LiteralString]:
    """Return every statement by its name, without description and semicolon."""
    found: dict[str, LiteralString] = {}
    for file in files("cost_exporter.store").joinpath("sql").iterdir():
        if file.name.endswith(".sql") and file.name != _DESCRIPTIONS_OF_TABLES:
            _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
            for name, body in zip(parts[::2], parts[1::2], strict=True):
                assert name not in found, f"two statements are named {name}"
                found[name] = cast("LiteralString", _DESCRIPTION.sub("", body.strip(), count=1).rstrip(";"))
    return found


def statement(name: str) -> LiteralString:
    """Return the statement of this name."""
    return statements()[name]
