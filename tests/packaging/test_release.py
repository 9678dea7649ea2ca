"""The release check: both archives hold the same product, and the list of parts is whole."""

import importlib.metadata
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import release

    return release


@pytest.mark.slow
def test_both_archives_hold_the_whole_product(release: Any, tmp_path: Path) -> None:
    """What the wheel installs stands in the sdist as well; both carry the licence."""
    wheel, sdist = release.build(tmp_path)
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    names = zipfile.ZipFile(wheel).namelist()
    installed = {name for name in names if ".dist-info/" not in name}
    sources = {re.sub("^callfare/", "instrumentation/callfare/", name) for name in installed}
    assert len(sources) > 300
    assert sources - packed == set()
    assert {"LICENSE", "SECURITY.md", "README.md", "CHANGELOG.md", "pyproject.toml"} <= packed
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_the_list_of_parts_holds_every_installed_package(release: Any) -> None:
    """Name, version and licence of each distribution, and who needs whom."""
    listed = release.parts()
    components = {each["name"]: each for each in listed["components"]}
    assert components["psycopg"]["version"] == importlib.metadata.version("psycopg")
    assert components["psycopg"]["licenses"]
    installed = {release.normal(each.metadata["Name"]) for each in importlib.metadata.distributions()}
    assert {release.normal(name) for name in components} == installed - {"callfare"}
    (needs,) = [each["dependsOn"] for each in listed["dependencies"] if each["ref"].startswith("pkg:pypi/callfare@")]
    assert f"pkg:pypi/psycopg@{components['psycopg']['version']}" in needs
    references = {each["bom-ref"] for each in [*listed["components"], listed["metadata"]["component"]]}
    assert {name for each in listed["dependencies"] for name in each["dependsOn"]} <= references


def test_this_python_is_among_those_that_are_tried(release: Any) -> None:
    """The check finds the Pythons of the machine; the one that runs this is new enough."""
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in release.pythons()


def test_an_archive_that_cannot_be_installed_is_named(release: Any, tmp_path: Path) -> None:
    """A broken wheel is a failure with a reason, not an "ok"."""
    broken = tmp_path / "callfare-9.9.9-py3-none-any.whl"
    broken.write_bytes(b"no archive")
    assert release.tried(sys.executable, broken, "all", None) != ""
