"""The command line as a whole: which commands there are, and what an error looks like.

Every error is one line on standard error that says how to fix it. Exit codes: 0 ok, 1 the command found a problem or
failed, 2 the command was used wrongly.
"""

import errno
import os
import sys
from typing import Annotated

import typer

from cost_exporter.cli.commands import LazyCommands
from cost_exporter.cli.output import prepare_output, print_error, print_line
from cost_exporter.errors import CallfareError, MissingExtra, SettingsError

__all__ = ["app", "run"]

EXIT_FOUND_WRONG = 1
EXIT_WRONG_USAGE = 2

app = typer.Typer(
    name="callfare",
    cls=LazyCommands,
    help="What every AI call and every voice call really cost, by leg, to the last digit.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - reads mail headers: 20 ms that no other command needs

        print_line(f"callfare {version('callfare')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
]


@app.callback()
def options(*, _version: Version = False) -> None:
    """What every AI call and every voice call really cost, by leg, to the last digit."""


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    prepare_output()
    try:
        result = app(arguments, prog_name="callfare", standalone_mode=False)
    except typer.TyperException as error:
        return _used_wrongly(error.format_message(), error.exit_code)
    except typer.Abort:
        return EXIT_FOUND_WRONG
    except CallfareError as error:
        is_usage = isinstance(error, SettingsError | MissingExtra)
        return _failed(str(error), EXIT_WRONG_USAGE if is_usage else EXIT_FOUND_WRONG)
    except OSError as error:
        return _not_written(error)
    return result if isinstance(result, int) else 0


def _not_written(error: OSError) -> int:
    """Say that the output could not be written. Any other error of the system is a fault of ours, and raised."""
    if error.errno not in {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO}:
        raise error
    # What is still in the buffer must not disturb the interpreter's exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:  # the reader of the pipe has seen enough: `callfare trace ... | head`
        return EXIT_FOUND_WRONG
    return _failed(f"the output cannot be written ({error.strerror}); make room there", EXIT_FOUND_WRONG)


def _used_wrongly(text: str, exit_code: int) -> int:
    """Say what is wrong in one line. Of a command without its arguments the help is what helps: all its lines."""
    if text.startswith("Usage: "):
        sys.stderr.write(text + "\n")
        return exit_code
    return _failed(text, exit_code)


def _failed(text: str, exit_code: int) -> int:
    print_error(text)
    return exit_code
