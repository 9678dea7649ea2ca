"""Run stages of the trial and add to their totals, as `make trust` does.

    python -m benchmarks.trust [--seconds 100] [STAGE...]

Each stage runs for about that long. Stop at any time: what was added stays, and the next run goes on.
"""

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.trust.stages import STAGES
from benchmarks.trust.state import added, load, save


def main() -> int:
    """Return 1 where anything was lost or wrong."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.trust", description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=100)
    options.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; without any, all")
    arguments = options.parse_args()
    wrong = 0
    for name in arguments.stages or STAGES:
        with tempfile.TemporaryDirectory(prefix="callfare-trust-", ignore_cleanup_errors=True) as folder:
            started = time.monotonic()
            figures = STAGES[name](Path(folder), arguments.seconds, time.time_ns() % 1_000_000)
        save(added(load(), name, figures, datetime.now(UTC).date().isoformat()))
        wrong += figures["problems"]
        shown = ", ".join(f"{number:,} {unit}" for unit, number in figures.items())
        print(f"{name}: {shown} ({time.monotonic() - started:.0f} s)", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
