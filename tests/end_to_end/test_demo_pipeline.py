"""`make demo DEMO=pipeline` as a person runs it: what it prints, that its links live, and that nothing is left."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal as D
from pathlib import Path

import httpx
import psutil
import pytest

from tests.end_to_end.binaries import needs_go
from tests.instrumentation.instrumented_app import metadata_folder
from tests.support.stored import open_folder
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = needs_go

ROOT = Path(__file__).parents[2]
KNOWN_COSTS_USD = [  # as tests/cli/test_demo.py computes them: what is refused costs 0, one stream says no usage
    D("0.02") * 2_000 / 1_000_000,
    (D("0.15") * (1_234 - 1_024) + D("0.075") * 1_024 + D("0.60") * 87) / 1_000_000,
    D(0),
    (D("2.50") * 900 + D(10) * 120) / 1_000_000,
    D("0.05") * 79 / 1_000,
    D("0.05") * 78 / 1_000,
    D("0.0048") * (12 + 8) / 60,
    D("0.0085") * 2,
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo keeps what it needs while it runs; PostgreSQL, which is not root, must be let in."""
    with open_folder() as outer:
        folder = outer / "temporary"
        folder.mkdir()
        folder.chmod(0o755)
        yield folder


@contextmanager
def demo(folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The demo as a program of its own, with callfare's entry points at hand as an installation has them."""
    site = metadata_folder(folder.with_name("site"))
    own = {
        "TMPDIR": str(folder),
        "PYTHONPATH": os.pathsep.join([str(site), str(ROOT), str(ROOT / "instrumentation")]),
        "COLUMNS": "200",
        **variables,
    }
    command = [sys.executable, str(ROOT / "scripts" / "demo_pipeline.py")]
    with subprocess.Popen(
        command, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_jaeger_shows_what_the_database_says(collector_binary: Path, jaeger_binary: Path, folder: Path) -> None:
    """The call by leg, links that live while it is kept, each cost in Jaeger; after Ctrl-C nothing is left."""
    with demo(folder, DEMO_KEEP="1", CALLFARE_FORWARD_ENDPOINT="http://127.0.0.1:1") as process:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith("Everything runs until Ctrl-C."):
                break
        printed = "\n".join(lines)
        page, shown, data = (httpx.get(url, timeout=60) for url in re.findall(r"http://\S+", printed))
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=3 * PATIENCE_SECONDS)
    assert (process.returncode, rest.strip(), errors) == (0, "", "")
    assert "total ≥ $0.0301005 (1 unpriced)" in printed
    assert "each of 8 quantities is what the fake vendors themselves counted" in printed
    assert f"{len(KNOWN_COSTS_USD)} carry callfare.cost.amount, each as the database has it, 0.0301005 USD" in printed
    assert (page.status_code, shown.status_code, data.status_code) == (200, 200, 200)
    exact = re.findall(r'"callfare.cost.amount","value":\{"stringValue":"([0-9.]+)"', data.text.replace(" ", ""))
    assert sorted(map(D, exact)) == sorted(KNOWN_COSTS_USD)
    assert "0.0301005" in page.text
    assert_nothing_is_left(folder)


@pytest.mark.full
def test_ended_in_the_middle_nothing_is_left(collector_binary: Path, jaeger_binary: Path, folder: Path) -> None:
    """SIGTERM while the programs run stops every one of them."""
    with demo(folder) as process:
        assert process.stdout is not None
        first = process.stdout.readline()  # everything runs by then, and the links are still to be tried
        process.terminate()
        process.communicate(timeout=3 * PATIENCE_SECONDS)
    assert first.startswith("support-call")
    assert process.returncode == 1
    assert_nothing_is_left(folder)


def assert_nothing_is_left(folder: Path) -> None:
    """No file, and no process that was started there."""
    assert list(folder.iterdir()) == []
    mine = [each for each in psutil.process_iter(["cmdline"]) if str(folder) in environment_of(each)]
    assert mine == []


def environment_of(process: psutil.Process) -> str:
    """Its environment as text; "" where it is gone or not ours."""
    try:
        return str(process.environ())
    except psutil.Error:
        return ""
