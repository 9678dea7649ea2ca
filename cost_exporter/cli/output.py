"""What a command prints: data on standard output, one line of error on standard error. Nothing else."""

import codecs
import io
import json
import os
import sys
from enum import StrEnum
from typing import Any

from rich.console import Console

from cost_exporter.report.forms import Sheet, csv_form, markdown_form, table_form, table_width_min

__all__ = ["Form", "prepare_output", "print_error", "print_json", "print_line", "print_notice", "print_sheet"]

_WIDTH_WITHOUT_TERMINAL = 10_000
"""Columns of a table that goes to a file or a pipe: as many as it needs."""


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
    """Print a line at once, also into a pipe: whoever started us waits for it."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_json(body: Any) -> None:
    """Print one JSON document."""
    print_line(json.dumps(body, indent=2, ensure_ascii=False))


def print_sheet(sheet: Sheet, form: Form = Form.TABLE) -> None:
    """Print a sheet as a table, markdown or CSV."""
    match form:
        case Form.MARKDOWN:
            print_line(markdown_form(sheet).rstrip("\n"))
        case Form.CSV:
            print_line(csv_form(sheet).rstrip("\n"))
        case _:
            console = _console(width_min=table_width_min(sheet))
            console.print(table_form(sheet, width=console.width), crop=False)


def print_error(text: str) -> None:
    """Print an error as one line that says the mend, whatever line breaks a library put into it."""
    sys.stderr.write(f"error: {' '.join(text.split())}\n")


def print_notice(text: str) -> None:
    """Print a line for people beside the data, which may be read by a program."""
    sys.stderr.write(f"{' '.join(text.split())}\n")


def _console(*, width_min: int) -> Console:
    """Return a console as wide as the terminal, and wider where a figure would be cut off: its lines then run on."""
    is_terminal = sys.stdout.isatty()
    has_width = is_terminal or "COLUMNS" in os.environ
    console = Console(width=None if has_width else _WIDTH_WITHOUT_TERMINAL)
    console.width = max(console.width, width_min)
    return console
