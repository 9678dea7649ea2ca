"""Output of the commands: data on standard output, one line of error on standard error. Nothing else.

Whatever a name contains, it cannot command the terminal: all that is printed passes `safe_text` here.
"""

import codecs
import io
import json
import os
import shutil
import sys
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
    "print_notice",
    "print_sheet",
]


class Form(StrEnum):
    """The forms a report can be printed in."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
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


def print_json(body: Any) -> None:
    """Print one JSON document."""
    print_json_line(json.dumps(body, indent=2, ensure_ascii=False))


def print_json_line(document: str) -> None:
    """Print what is JSON already."""
    _write(for_json(document))


def print_sheet(sheet: "Sheet", form: Form = Form.TABLE, *, is_wide: bool = False) -> None:
    """Print a sheet as markdown, CSV or a table: one that fits the terminal, or as wide as it is."""
    from cost_exporter.report.forms import csv_form, markdown_form, table_form  # noqa: PLC0415 - `--help` needs none

    match form:
        case Form.MARKDOWN:
            print_line(markdown_form(sheet).rstrip("\n"))
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


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _terminal_width() -> int | None:
    """Return how many columns there are; None for a file or a pipe, which get a table as wide as it is."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return shutil.get_terminal_size().columns
    return None
