"""What a command prints: data on standard output, one line of error on standard error. Nothing else."""

import json
import os
import sys
from enum import StrEnum
from typing import Any

from rich.console import Console

from cost_exporter.report.forms import Sheet, csv_form, markdown_form, table_form

__all__ = ["Form", "print_error", "print_json", "print_line", "print_sheet"]

_WIDTH_WITHOUT_TERMINAL = 200
"""Columns of a table that goes to a file or a pipe: wide, so that no figure is cut off."""


class Form(StrEnum):
    """The forms a report can be printed in."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    FOCUS = "focus"


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
            _console().print(table_form(sheet))


def print_error(text: str) -> None:
    """Print an error as one line that says the mend, whatever line breaks a library put into it."""
    sys.stderr.write(f"error: {' '.join(text.split())}\n")


def _console() -> Console:
    is_terminal = sys.stdout.isatty()
    has_width = is_terminal or "COLUMNS" in os.environ
    return Console(width=None if has_width else _WIDTH_WITHOUT_TERMINAL)
