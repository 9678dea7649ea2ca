"""The gate's clock: minutes of each stage, and a failure above the limit."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(lines: str) -> subprocess.CompletedProcess[str]:
    """Run what .ci/run does, with the clock set by hand: bash lets a script write SECONDS."""
    script = f"set -euo pipefail\nsource .ci/stages.sh\n{lines}\n"
    return subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)


def test_each_stage_is_shown_with_its_minutes() -> None:
    """A stage lasts until the next one begins; the last until the end."""
    done = run("SECONDS=0; stage lint; SECONDS=90; stage test; SECONDS=1500; finish")
    assert done.returncode == 0
    assert "   1.5  lint\n" in done.stdout
    assert "  23.5  test\n" in done.stdout
    assert "  25.0  in all, of at most 75\n" in done.stdout


def test_a_gate_that_takes_too_long_fails() -> None:
    """One second above 75 minutes is an error that says what to do; 75 minutes are not."""
    assert run("SECONDS=0; stage test; SECONDS=4500; finish").returncode == 0
    slow = run("SECONDS=0; stage test; SECONDS=4501; finish")
    assert slow.returncode == 1
    assert "move what is slow and rarely broken to make full" in slow.stderr


def test_the_gate_measures_every_stage() -> None:
    """.ci/run uses these functions, and ends with `finish` and the summary of the tests."""
    text = (ROOT / ".ci" / "run").read_text()
    assert "source .ci/stages.sh" in text
    commands = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert commands[-2:] == ["finish", 'tail -n 1 "$test_log"']
    targets = [line for line in commands if line.startswith("make ")]
    assert len(targets) == len([line for line in commands if line.startswith("stage ")]) - 1  # the builds are awaited
