"""Run a how-to's commands as a reader would: in bash, from the checkout, with the installed programs on PATH.

Three things differ from the reader's machine. The checkout need not be installed: a folder with the metadata of an
installation stands in. Addresses are moved to free ports, in the commands by `moved`. And where a command asks for
it, `CALLFARE_DATABASE_URL` names the test's own PostgreSQL.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.examples.documents import ROOT
from tests.instrumentation.instrumented_app import metadata_folder
from tests.support.waiting import PATIENCE_SECONDS, RUN_SECONDS_MAX, wait_until


@dataclass
class Shell:
    """One terminal of the reader's. `python` is the interpreter whose environment is active in it."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    python: Path = Path(sys.executable)

    def run(self, commands: str, **variables: str) -> str:
        """Run commands to their end and return what they print. A failing one fails the test."""
        done = subprocess.run(
            ["bash", "-euc", self._moved(commands)],
            env=self._environment(variables),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        self.errors = done.stderr
        return done.stdout

    @contextmanager
    def background(self, commands: str, *, until: str, **variables: str) -> Iterator[Path]:
        """Leave a command running until it prints a line that matches; stop it with SIGTERM afterwards."""
        log = self.folder / f"{re.sub(r'[^a-z]+', '-', commands.lower())[:40]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-euc", self._moved(commands)],
                env=self._environment(variables),
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(f"{until!r} in {log}", lambda: _says(process, log, until))
            yield log
        finally:
            _stop(process)

    def _moved(self, commands: str) -> str:
        for shown, used in self.moved.items():
            commands = commands.replace(shown, used)
        return commands

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Nothing of the machine's own OTEL_* and CALLFARE_* variables: only what the document says, and ours."""
        return {
            "PATH": os.pathsep.join([str(self._programs()), str(self.python.parent), os.environ["PATH"]]),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join([str(self._metadata()), str(ROOT), str(ROOT / "instrumentation")]),
            "OTEL_EXPORTER_OTLP_TIMEOUT": "60",  # nothing is sent again because the machine is slow
            **self.variables,
            **variables,
        }

    def _programs(self) -> Path:
        folder = self.folder / "bin"
        if not folder.exists():
            folder.mkdir()
            program = folder / "callfare"
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cost_exporter "$@"\n')
            program.chmod(0o755)
        return folder

    def _metadata(self) -> Path:
        folder = self.folder / "site"
        return folder if folder.exists() else metadata_folder(folder)


def _says(process: subprocess.Popen[bytes], log: Path, until: str) -> bool:
    text = log.read_text(errors="replace")
    assert process.poll() is None, f"ended at once:\n{text[-4000:]}"
    return re.search(until, text) is not None


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the program itself, as an orchestrator would; bash stands before it where it set variables."""
    if process.poll() is not None:
        return
    shell = psutil.Process(process.pid)
    children = shell.children() if shell.name() == "bash" else []
    for each in children or [shell]:
        with suppress(psutil.NoSuchProcess):  # it ended by itself just now
            each.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
