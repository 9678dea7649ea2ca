"""The long trial of `make trust` in short: each stage finds nothing wrong, and the README shows what was reached."""

import os
import shutil
import subprocess

import pytest

from benchmarks.trust.stages import STAGES
from benchmarks.trust.state import TARGETS, added, load, shown, table
from tests.support.stored import open_folder

SHORT = {"database_away": 1.0, "full_disk": 0.0, "clock_steps": 0.0}
"""Seconds of each stage. The others have tests of their own: tests/crash, test_fuzz.py, test_admission.py."""


def can_mount() -> bool:
    """Return whether a small disk can be made here."""
    done = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    return os.geteuid() == 0 and done.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("stage", SHORT)
def test_a_stage_finds_nothing_wrong(stage: str) -> None:
    """As long as it takes to try once; the long run is for `make trust`."""
    if stage == "full_disk" and not can_mount():
        assert os.environ.get("CI") != "true", "the stage full_disk needs root and mount"
        pytest.skip("only root can mount a small disk")
    if stage == "clock_steps" and shutil.which("cc") is None:
        assert os.environ.get("CI") != "true", "the stage clock_steps needs a C compiler"
        pytest.skip("setting the clock needs a C compiler")
    with open_folder() as folder:  # PostgreSQL's own account has to enter it
        figures = STAGES[stage](folder, SHORT[stage], 7)
    assert figures["problems"] == 0
    assert all(figures[unit] > 0 for unit in TARGETS[stage])


def test_the_readme_shows_the_totals() -> None:
    """Every figure and date is that of benchmarks/trust.json."""
    assert shown() == table(load())


def test_runs_add_up() -> None:
    """A stage that was stopped adds nothing; dates are those of the first and of the last run."""
    state = added({}, "fuzz", {"messages": 5, "problems": 0}, "2026-01-01")
    state = added(state, "fuzz", {"messages": 7, "problems": 1}, "2026-02-01")
    assert state["fuzz"] == {"messages": 12, "problems": 1, "runs": 2, "since": "2026-01-01", "until": "2026-02-01"}
    assert "12 of 10,000,000 messages | 1 | 2026-02-01" in table(state)
