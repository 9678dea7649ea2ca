"""The wheel as a user gets it: built, installed without extras in an environment of its own, and used."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the application side's dependencies, which are those of no extra."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-input"]
    subprocess.run([*install, "--constraint", str(ROOT / "constraints.txt"), str(wheel)], check=True, timeout=500)
    return python


def run(python: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "OTEL", "CALLFARE"))}
    command = [str(python), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean | environment, cwd="/")


def test_wheel_holds_everything_that_is_read_at_run_time(wheel: Path) -> None:
    """SQL, prices, templates, the demo's programs and the type marker are in the wheel; tests are not."""
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "cost_exporter/store/sql/reading.sql",
        "cost_exporter/store/sql/migrations/0001_ledger.sql",
        "cost_exporter/serve/templates/workflow.html",
        "cost_exporter/cli/help_pages.txt",
        "cost_exporter/cli/demo_app/callfare.yaml",
        "cost_exporter/cli/demo_app/insights.py",
        "cost_exporter/cli/demo_app/voice_agent.py",
        "cost_exporter/py.typed",
        "callfare/py.typed",
        "callfare/attributes.py",
    ):
        assert wanted in names
    assert [name for name in names if name.startswith("cost_exporter/prices/") and name.endswith(".yaml")]
    assert {name.split("/")[0] for name in names} == {
        "callfare",
        "cost_exporter",
        f"callfare-{our_version()}.dist-info",
    }


def our_version() -> str:
    from cost_exporter import __version__

    return __version__


def test_import_needs_no_extra(bare_python: Path) -> None:
    """Both packages can be imported where only the application side is installed."""
    done = run(bare_python, "-W", "error", "-c", "import callfare, cost_exporter; print(cost_exporter.__version__)")
    assert (done.stderr, done.stdout.strip()) == ("", our_version())


def test_command_without_its_extra_says_which_one(bare_python: Path) -> None:
    """The command exits 2 with one line that names the extra to install."""
    done = run(bare_python, str(bare_python.parent / "callfare"), "up")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the callfare command needs the extra 'exporter': pip install 'callfare[exporter]'\n"


def test_entry_points_load_under_opentelemetry_instrument(bare_python: Path, tmp_path: Path) -> None:
    """`opentelemetry-instrument` finds all our entry points and starts the application without a word of complaint."""
    script = tmp_path / "application.py"
    script.write_text(
        "from importlib.metadata import distribution\n"
        "points = [p for p in distribution('callfare').entry_points if p.group.startswith('opentelemetry_')]\n"
        "print(sorted(p.name for p in points if p.load() is not None))\n"
    )
    instrument = str(bare_python.parent / "opentelemetry-instrument")
    silent = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    done = run(bare_python, instrument, str(bare_python), str(script), **silent)
    assert done.returncode == 0, done.stderr
    assert "callfare" in done.stdout
    assert "Traceback" not in done.stderr
    assert "Failed" not in done.stderr


def test_version_is_the_same_everywhere(bare_python: Path) -> None:
    """The package, its metadata and pyproject.toml agree."""
    done = run(bare_python, "-c", "from importlib.metadata import version; print(version('callfare'))")
    assert done.stdout.strip() == our_version()
