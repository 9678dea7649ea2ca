"""The manual builds without a warning, and a broken one does not."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    """A copy of what the manual is made from."""
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    return tmp_path


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    # Not --quiet: it silences the warnings that --strict counts, and the worst manual would pass.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    # Material's makers print an appeal on standard error unless told not to.
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_manual_builds_without_a_warning(manual: Path) -> None:
    """Every page is in the navigation, and every link and anchor leads somewhere."""
    built = build(manual)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "WARNING" not in built.stderr
    built_pages = list((manual / "build" / "manual").rglob("*.html"))
    assert manual / "build" / "manual" / "reference" / "sql" / "index.html" in built_pages
    # A fence that the builder does not take for one swallows what follows: its marks are still on the page.
    assert [page for page in built_pages if "```" in page.read_text(encoding="utf-8")] == []


BROKEN = (
    ("index.md", "[nowhere](how-to/nowhere.md)", "nowhere.md"),
    ("index.md", "[no anchor](glossary.md#no-such-heading)", "no-such-heading"),
    ("index.md", "[outside](../README.md)", "README.md"),
    ("left-out.md", "# A page that no navigation names", "left-out.md"),
)


def test_a_broken_manual_is_refused(manual: Path) -> None:
    """A link, an anchor or a page that is lost is an error and named: in one build, as each takes seconds."""
    for page, text, _ in BROKEN:
        path = manual / "docs" / page
        path.write_text((path.read_text() if path.exists() else "") + f"\n{text}\n")
    built = build(manual)
    assert built.returncode != 0
    assert f"Aborted with {len(BROKEN)} warnings in strict mode" in built.stdout + built.stderr
    for _, _, finding in BROKEN:
        assert finding in built.stdout + built.stderr


def test_the_version_is_the_same_everywhere() -> None:
    """In the package, the chart, the install lines of containers, and below each page."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = str(project["version"])
    chart = yaml.safe_load((ROOT / "charts" / "callfare" / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == version
    assert f"copyright: callfare {version}." in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert f"callfare:{version} ." in (ROOT / "docs" / "operations" / "containers.md").read_text(encoding="utf-8")
