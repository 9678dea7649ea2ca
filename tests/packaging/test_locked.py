"""What development installs is locked with hashes, and every licence is listed and accepted."""

import re
import runpy
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "development.lock").read_text(encoding="utf-8")
CONSTRAINTS = dict(re.findall(r"^([^=#\s]+)==([^\s;]+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))
OURS_OR_THE_INSTALLERS = {"callfare", "pip", "setuptools", "wheel"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "licences.py"))


def test_each_locked_package_has_hashes_and_the_version_of_the_constraints() -> None:
    """An installation takes no file that was not there when the lock was made."""
    locked = re.findall(r"^(\S+?)==([^\s;]+)[^\n]*?((?:\\\n +--hash=sha256:[0-9a-f]{64} ?)+)$", LOCK, re.MULTILINE)
    assert len(locked) == len(re.findall(r"^\S+==", LOCK, re.MULTILINE)) > 150
    known = {normal(name): version for name, version in CONSTRAINTS.items()}
    assert {name: version for name, version, _ in locked if known.get(name, version) != version} == {}


def test_all_that_is_installed_here_is_locked() -> None:
    """A development tool that somebody adds without the lock would come without a hash."""
    locked = set(re.findall(r"^(\S+?)==", LOCK, re.MULTILINE))
    here = {normal(each.name) for each in distributions() if "site-packages" in str(each.locate_file(""))}
    assert here - locked - OURS_OR_THE_INSTALLERS == set()


def test_every_licence_is_listed_and_accepted(script: dict[str, Any]) -> None:
    """From the packages' own metadata; an exception that nothing needs any more is one too many."""
    found = script["licences"]()
    assert len(found) > 150
    assert script["unlisted"](found) == []
    assert [name for name, licence in found.items() if not script["accepted"](name, licence)] == []
    assert [name for name in script["EXCEPTIONS"] if name in found and script["accepted"]("any", found[name])] == []


@pytest.mark.parametrize(
    ("licence", "is_accepted"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only", False),
        ("AGPL-3.0", False),
        ("LGPL", False),
        ("MIT AND GPL-2.0", False),
        ("", False),
    ],
)
def test_copyleft_and_unknown_licences_are_refused(script: dict[str, Any], licence: str, *, is_accepted: bool) -> None:
    """Unless there is a choice that is none."""
    assert script["accepted"]("some-package", licence) is is_accepted
