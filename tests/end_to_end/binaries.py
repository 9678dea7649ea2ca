"""The real Collector and the real Jaeger, built from Go modules once per machine and content.

Without Go the tests that ask for one are skipped with the reason; with `CI=true` such a skip is a failure, because a
pipeline nobody ran is not tested. `collector-config/builder/build.sh otelcol` and `… jaeger` fill the cache beforehand.
"""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

BUILD = Path(__file__).parents[2] / "collector-config" / "builder" / "build.sh"
BUILD_SECONDS_MAX = 2700

needs_go = [pytest.mark.go, pytest.mark.slow, pytest.mark.timeout(BUILD_SECONDS_MAX + 300)]
"""`pytestmark` of a module that runs a real binary: the first test may have to wait for the build."""


@pytest.fixture(scope="session")
def collector_binary() -> Path:
    """The Collector of collector-config/builder/manifest.yaml."""
    return binary("otelcol")


@pytest.fixture(scope="session")
def jaeger_binary() -> Path:
    """Jaeger (all in one, its user interface a placeholder page)."""
    return binary("jaeger")


def binary(program: str) -> Path:
    """The cached program, built first where it is missing."""
    path, problem = _built(program)
    if problem:
        unavailable(problem)
    return path


def unavailable(reason: str) -> NoReturn:
    """Skip for want of a part of the machine; under CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have this part: {reason}")
    pytest.skip(reason)


@cache
def _built(program: str) -> tuple[Path, str]:
    cached = subprocess.run([BUILD, program, "--path"], capture_output=True, text=True, check=False)
    path = Path(cached.stdout.strip())
    if cached.returncode == 0:
        return path, ""
    if shutil.which("go") is None:
        return path, f"{program} needs Go to be built, and there is no `go` on the PATH"
    built = subprocess.run([BUILD, program], capture_output=True, text=True, check=False)
    if built.returncode == 0:
        return path, ""
    return path, f"{program} could not be built: {_last_line(built.stderr)}"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1][:300]
