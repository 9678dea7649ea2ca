"""The `callfare` command: starts the CLI, or says which extra is missing. Also `python -m cost_exporter`."""

import os
import sys

from cost_exporter.cli.help_pages import stored_help
from cost_exporter.cli.output import prepare_output, print_line
from cost_exporter.errors import MissingExtra

__all__ = ["main"]

_EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the command line and return its exit code: 0 ok, 1 found something wrong, 2 wrong usage."""
    # We fork only to start other programs, and gRPC would complain about each on standard error.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    if _answered_from_text(sys.argv[1:]):
        return 0
    try:
        from cost_exporter.cli.app import run  # noqa: PLC0415 - only the command needs the extra
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "cost_exporter").startswith(("cost_exporter", "callfare")):
            raise
        sys.stderr.write(f"error: {MissingExtra('the callfare command', 'exporter')}\n")
        return 2
    return run()


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - reads mail headers: 60 ms that a help does not need

    return version("callfare")


def _answered_from_text(arguments: list[str]) -> bool:
    """Print the version or a help, if nothing else is asked for: neither needs a command, nor typer."""
    if arguments == ["--version"]:
        text: str | None = f"callfare {_version()}"
    else:
        text = stored_help(arguments)
    if text is None:
        return False
    prepare_output()
    try:
        print_line(text)
    except OSError:  # the command itself knows what to say of an output that cannot be written
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
