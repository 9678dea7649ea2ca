"""What `callfare COMMAND --help` prints of every command, as the commands themselves write it."""

import io
import os
from collections.abc import Iterator
from contextlib import redirect_stdout

from typer.core import TyperGroup

from cost_exporter.cli.app import run
from cost_exporter.cli.commands import COMMANDS, load_command
from cost_exporter.cli.help_pages import MARK, WIDTH


def text() -> str:
    """Return all pages, each below the line that names its command."""
    names = [
        "callfare",
        *(name for each in sorted(COMMANDS) for name in _below(f"callfare {each}", load_command(each))),
    ]
    return "".join(f"{MARK}{name}\n{page_of(name)}\n" for name in names)


def page_of(name: str) -> str:
    """Return what a command prints when it is asked for its help."""
    _, *words = name.split()
    printed, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        with redirect_stdout(printed):
            exit_code = run([*words, "--help"])
    finally:
        del os.environ["COLUMNS"]
        os.environ.update({} if before is None else {"COLUMNS": before})
    assert exit_code == 0, name
    return printed.getvalue()


def _below(name: str, command: object) -> Iterator[str]:
    """Yield the command and all commands below it."""
    yield name
    if isinstance(command, TyperGroup):
        for each, below in sorted(command.commands.items()):
            yield from _below(f"{name} {each}", below)
