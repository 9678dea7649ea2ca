"""Output of the commands: data on standard output, one line of error on standard error. Nothing else.

Nothing in a name can control the terminal: all that is printed passes `safe_text` here.
"""

import codecs
import io
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cost_exporter.safe_text import for_json, for_terminal

if TYPE_CHECKING:
    from cost_exporter.report.sheet import Sheet

__all__ = [
    "Form",
    "prepare_output",
    "print_error",
    "print_json",
    "print_json_line",
    "print_line",
    "print_lines",
    "print_notice",
    "print_sheet",
    "print_too_old",
]


_NAME = re.compile(r" *\S+(?: \S+)* {2,}(?=\S)")
"""The name at the beginning of a line, up to its text."""
_TEXT_WIDTH_MIN = 20


class Form(StrEnum):
    """The forms a report can be printed in."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    HTML = "html"
    XLSX = "xlsx"
    FOCUS = "focus"


def prepare_output() -> None:
    """Let standard output take every character: a file or a pipe gets UTF-8, a terminal what it can show."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper) or codecs.lookup(stream.encoding).name == "utf-8":
        return
    if stream.isatty():
        stream.reconfigure(errors="replace")
    else:
        stream.reconfigure(encoding="utf-8")


def print_line(text: str) -> None:
    """Print a line, or several, without buffering: a program that started this one may wait for it."""
    _write("\n".join(map(for_terminal, text.split("\n"))))


def print_lines(lines: Iterable[str]) -> None:
    """Print lines that a name and blanks begin, `  profit  $1`; what is wider than the terminal goes on below its text.

    A word that is longer than a line, such as an id, is never broken.
    """
    width = _terminal_width()
    for line in lines:
        print_line(line if width is None else _fitted(line, width))


def print_json(body: Any) -> None:
    """Print one JSON document."""
    print_json_line(json.dumps(body, indent=2, ensure_ascii=False))


def print_json_line(document: str) -> None:
    """Print what is JSON already."""
    _write(for_json(document))


def print_sheet(sheet: "Sheet", form: Form = Form.TABLE, *, is_wide: bool = False) -> None:
    """Print a sheet as markdown, CSV or a table: one that fits the terminal, or as wide as it is."""
    from cost_exporter.report.forms import csv_form, html_form, markdown_form, table_form  # noqa: PLC0415 - `--help` needs none

    match form:
        case Form.MARKDOWN:
            print_line(markdown_form(sheet).rstrip("\n"))
        case Form.HTML:
            print_line(html_form(sheet).rstrip("\n"))
        case Form.CSV:
            print_line(csv_form(sheet).rstrip("\n"))
        case _:
            print_line(table_form(sheet, width=None if is_wide else _terminal_width()))


def print_error(text: str) -> None:
    """Print an error as one line that says how to fix it, whatever line breaks a library put into it."""
    sys.stderr.write(f"error: {for_terminal(' '.join(text.split()))}\n")


def print_notice(text: str) -> None:
    """Print a line for people beside the data, which may be read by a program."""
    sys.stderr.write(f"{for_terminal(' '.join(text.split()))}\n")


def print_too_old(count: int) -> None:
    """Print that spans came too late to be billed, where any did: no sum has them."""
    if count:
        print_notice(f"{count} spans came after their month was dropped, billed to nobody: `callfare deadletter list`")


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _fitted(line: str, width: int) -> str:
    name = _NAME.match(line)
    indent = len(name[0]) if name else len(line) - len(line.lstrip()) + 2
    return "\n".join(
        textwrap.wrap(
            line,
            max(width, indent + _TEXT_WIDTH_MIN),
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
        )
        or [""]
    )


def _terminal_width() -> int | None:
    """Return how many columns there are; None for a file or a pipe, which get a table as wide as it is."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return shutil.get_terminal_size().columns
    return None
