"""What is printed arrives whole: in narrow terminals, through pipes, in any locale, on full disks."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cost_exporter.cli.output import print_sheet
from cost_exporter.report.forms import Sheet
from tests.cli.running import ROOT, run_program
from tests.support.stored import CHAT_COST_USD, SUPPORT_CALL


def test_a_narrow_terminal_cuts_no_figure_off(callfare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 40 columns every quantity, unit price and cost still stands there to its last digit."""
    monkeypatch.setenv("COLUMNS", "40")
    out = callfare("trace", SUPPORT_CALL.hex()).out
    for figure in ("1,024", "$0.075 / 1M", "$0.0000768", f"≥ ${CHAT_COST_USD} (1 unpriced)"):
        assert figure in out
    assert "…" not in out


def test_a_pipe_gets_tables_as_wide_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is folded or cut where nobody's window ends."""
    monkeypatch.delenv("COLUMNS", raising=False)
    print_sheet(Sheet(title="", columns=("model",), rows=(("m" * 500,),)))
    assert "m" * 500 in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_locale_without_the_signs_is_no_obstacle(filled: str, encoding: str) -> None:
    """A pipe gets UTF-8, whatever the locale: a lower bound keeps its sign, and JSON is JSON."""
    environment = {"CALLFARE_DATABASE_URL": filled, "PYTHONIOENCODING": encoding}
    ran = run_program("trace", SUPPORT_CALL.hex(), **environment)
    assert (ran.exit_code, ran.err) == (0, "")
    assert f"≥ ${CHAT_COST_USD} (1 unpriced)" in ran.out


def test_a_full_disk_is_one_line(filled: str) -> None:
    """A report that could not be written is no success, and no stack of Python."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this machine")
    for form in ((), ("--json",)):
        command = [sys.executable, "-m", "cost_exporter", "trace", SUPPORT_CALL.hex(), *form]
        environment = os.environ | {"CALLFARE_DATABASE_URL": filled}
        with full.open("w") as output:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT, check=False
            )
        assert done.returncode == 1
        assert done.stderr == "error: the output cannot be written (No space left on device); make room there\n"
