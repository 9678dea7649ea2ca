"""Tables and cells of the reference pages."""

import ast
import inspect
import textwrap
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Undescribed(Exception):
    """Something public has no description; the text says where to write one."""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table, with an empty line after it."""
    titles = list(head)
    lines = [row(titles), row("---" for _ in titles)]
    return [*lines, *(row(cells) for cells in rows), ""]


def row(cells: Iterable[str]) -> str:
    """Return one line of a table."""
    return "| " + " | ".join(one_line(cell).replace("|", "\\|") for cell in cells) + " |"


def one_line(text: str) -> str:
    """Return a text without its line breaks."""
    return " ".join(text.split())


def code(text: str) -> str:
    """Return a text as code; nothing for nothing."""
    return f"`{text}`" if text else ""


def described(text: str | None, name: str, where: str) -> str:
    """Return the description of a public name, or say where to write it."""
    if text is None or not text.strip():
        raise Undescribed(f"{name} has no description; write one in {where}")
    return one_line(text)


def fields(model: type) -> dict[str, str]:
    """Return the docstring below each annotated field of a class, of its bases too; "" where there is none."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if base.__module__.partition(".")[0] not in {"cost_exporter", "callfare"}:
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for node, following in zip(definition.body, [*definition.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = _docstring(following)
    return found


def _docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return one_line(node.value.value)
    return ""
