"""Help is shown from text: right for every command, and without importing any of them."""

import json
import os
import subprocess
import sys

import pytest

from cost_exporter.cli.help_pages import stored_help
from scripts.reference.help_pages import page_of, text
from tests.cli.running import ROOT, run_program

NAMES = [line.removeprefix("# ") for line in text().splitlines() if line.startswith("# ")]
HEAVY = (
    "psycopg",
    "typer",
    "pydantic",
    "grpc",
    "opentelemetry",
    "uvicorn",
    "cost_exporter.store",
    "cost_exporter.domain",
)
SHOW_EACH = """
import contextlib, io, json, sys
from cost_exporter.__main__ import main
printed = {}
for name in json.loads(sys.argv[1]):
    sys.argv = [*name.split(), "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main() == 0
    printed[name] = out.getvalue()
sys.argv = ["callfare", "--version"]
assert main() == 0
print(json.dumps([printed, [each for each in HEAVY if each in sys.modules]]))
"""


@pytest.fixture(scope="module")
def shown() -> tuple[dict[str, str], list[str]]:
    """What each help prints in a new process, and what heavy modules that process then has."""
    program = SHOW_EACH.replace("HEAVY", repr(HEAVY))
    paths = os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")])
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(NAMES)],
        env=os.environ | {"COLUMNS": "80", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    version, answer = done.stdout.splitlines()
    assert version.startswith("callfare ")
    printed, heavy = json.loads(answer)
    return printed, heavy


def test_no_help_imports_a_driver_or_a_server(shown: tuple[dict[str, str], list[str]]) -> None:
    """Nor does the version: together they take what Python takes to start."""
    assert shown[1] == []
    assert len(NAMES) > 30


def test_the_heavy_modules_are_those_that_a_command_imports() -> None:
    """The check above can fail: a command itself imports them."""
    program = f"import cost_exporter.cli.spend, sys; print(all(each in sys.modules for each in {HEAVY[:3]!r}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_what_the_command_itself_writes(name: str, shown: tuple[dict[str, str], list[str]]) -> None:
    """Its options, defaults and lines."""
    assert shown[0][name].strip("\n") == page_of(name).strip("\n")


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["report", "--json", "--help"], {}),
        (["nonsense", "--help"], {}),
        (["--help", "report"], {}),
        ([], {}),
        (["report", "--help"], {"COLUMNS": "60"}),
        (["report", "--help"], {"_CALLFARE_COMPLETE": "complete_bash"}),
    ],
    ids=str,
)
def test_anything_else_goes_to_the_command(
    arguments: list[str], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A narrow terminal, other options, a command that does not exist, completion."""
    monkeypatch.setenv("COLUMNS", "80")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert stored_help(arguments) is None


def test_a_narrow_terminal_gets_narrow_lines() -> None:
    """Typer writes for it."""
    lines = run_program("report", "--help", COLUMNS="60").out.splitlines()
    assert lines[0].startswith("Usage: callfare report")
    assert max(map(len, lines)) <= 60


def test_a_closed_reader_of_the_help_is_no_error() -> None:
    """`callfare --help | true` says nothing on standard error."""
    reader, writer = os.pipe()
    os.close(reader)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")])
    done = subprocess.run(
        [sys.executable, "-m", "cost_exporter", "report", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths, "COLUMNS": "80"},
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
