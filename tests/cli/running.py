"""Run commands: in this process for speed, or as a program of its own where signals and ports matter."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from cost_exporter.cli.app import run
from tests.support.waiting import RUN_SECONDS_MAX

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Ran:
    """What a command did."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output, read as JSON."""
        return json.loads(self.out)


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ran:
    """Run a command in this process."""
    capsys.readouterr()
    exit_code = run(list(arguments))
    captured = capsys.readouterr()
    return Ran(exit_code, captured.out, captured.err)


def start_program(
    *arguments: str, errors: IO[str] | int = subprocess.PIPE, **environment: str
) -> subprocess.Popen[str]:
    """Start `callfare` as a program of its own. One that is to live gets a file for its errors: a pipe may get full."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")])
    clean = {name: text for name, text in os.environ.items() if not name.startswith("CALLFARE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "cost_exporter", *arguments],
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
        env=clean | {"PYTHONPATH": paths} | environment,
    )


def run_program(*arguments: str, **environment: str) -> Ran:
    """Run `callfare` as a program of its own to its end."""
    with start_program(*arguments, **environment) as process:
        out, err = process.communicate(timeout=RUN_SECONDS_MAX)
    return Ran(process.returncode, out, err)
