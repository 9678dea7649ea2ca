"""The `callfare` command: starts the CLI, or says which extra is missing. Also `python -m cost_exporter`."""

import os
import sys

from cost_exporter.errors import MissingExtra

__all__ = ["main"]

_EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the command line and return its exit code: 0 ok, 1 found something wrong, 2 wrong usage."""
    # We fork only to start other programs, and gRPC would complain about each on standard error.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
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


if __name__ == "__main__":
    sys.exit(main())
