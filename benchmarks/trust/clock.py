"""A clock that the trial sets: the time of day that the service and its PostgreSQL see.

Debian's libfaketime (0.9.10) also moves what sleeps by the monotonic clock, which no setting of a machine's clock does.
So `clock.c` is compiled where the trial runs.
"""

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["Clock"]

_SOURCE: Final = Path(__file__).with_name("clock.c")
_OFFSET: Final = struct.Struct("=q")


class Clock:
    """The clock of every program that is started with `variables`."""

    def __init__(self, folder: Path) -> None:
        """Compile it. Raises `FileNotFoundError` where there is no C compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            raise FileNotFoundError("setting the clock needs a C compiler: install gcc, or leave out clock_steps")
        library, self._path = folder / "clock.so", folder / "clock"
        command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, _SOURCE, "-ldl"]
        subprocess.run(command, check=True)
        self.set(0)
        self.variables = {"LD_PRELOAD": str(library), "TRIAL_CLOCK": str(self._path)}

    def set(self, offset_seconds: int) -> None:
        """Let the programs see so much more than the time of day."""
        # In place: they have the file mapped.
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.pwrite(file, _OFFSET.pack(offset_seconds), 0)
        finally:
            os.close(file)

    @contextmanager
    def for_children(self) -> Iterator[None]:
        """Give it to the programs that this one starts meanwhile."""
        before = {name: os.environ.get(name) for name in self.variables}
        os.environ.update(self.variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
