"""The help of every command as text, so that showing it imports no command: a driver and a server take a second.

`help_pages.txt` is made from the commands by `make reference`, for a terminal of 80 columns or more; typer writes no
wider. Narrower ones, and every other command line, are left to typer.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["MARK", "WIDTH", "stored_help"]

WIDTH: Final = 80
MARK: Final = "# "
"""Begins the line that names the command of the page below it."""
_PROGRAM: Final = "callfare"
_PAGES: Final = Path(__file__).with_name("help_pages.txt")


def stored_help(arguments: Sequence[str]) -> str | None:
    """Return the page that `callfare ARGUMENTS` asks for; None if it is not the help of a command."""
    *command, last = arguments or [""]
    asks_for_completion = f"_{_PROGRAM.upper()}_COMPLETE" in os.environ  # as typer names the variable
    if last != "--help" or asks_for_completion or shutil.get_terminal_size().columns < WIDTH:
        return None
    return _pages().get(" ".join([_PROGRAM, *command]))


def _pages() -> dict[str, str]:
    """Return the text of every page by its command."""
    try:
        text = _PAGES.read_text(encoding="utf-8")
    except OSError:  # a checkout in which they are being made
        return {}
    titled = (page.partition("\n") for page in f"\n{text}".split(f"\n{MARK}")[1:])
    return {title: page.rstrip("\n") for title, _, page in titled}
