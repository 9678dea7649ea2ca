"""Which release of a vendor's SDK is tested: what only an older one lacks may be skipped, and only there."""

from importlib.metadata import version
from pathlib import Path

import pytest

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"


def pinned(package: str) -> str:
    """The release that the project is developed with."""
    (line,) = [line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{package}==")]
    return line.partition("==")[2].partition(" ")[0]


def numbers(release: str) -> tuple[int, ...]:
    """A release as numbers, to be compared."""
    return tuple(int(part) for part in release.split(".")[:3])


def is_too_old(package: str, what: str, *, has: bool) -> bool:
    """Return whether a release before the pinned one lacks something; fail where the pinned one does, or a newer."""
    installed = version(package)
    assert has or numbers(installed) < numbers(pinned(package)), f"{package} {installed} has no {what} any more"
    return not has


def skip_where_older_lacks(package: str, what: str, *, has: bool) -> None:
    """Skip where the installed release is too old for what is tested."""
    if is_too_old(package, what, has=has):
        pytest.skip(f"{package} {version(package)} has no {what} yet")
