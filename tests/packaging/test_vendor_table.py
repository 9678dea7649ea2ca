"""The table of vendors in instrumentation/README.md, held against the entry points and the releases that tests run."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent.parent
_ROW: Final = re.compile(r"^\| [^|]*\(`(\w+)`\) \|[^|]*\|[^|]*\| ([\w-]+) ([^|]*) \|$", re.MULTILINE)
ROWS: Final = {
    entry_point: (distribution, tested)
    for entry_point, distribution, tested in _ROW.findall(
        (ROOT / "instrumentation" / "README.md").read_text(encoding="utf-8")
    )
}


def pinned(file: str) -> dict[str, set[str]]:
    """The releases that a file pins, by distribution."""
    found: dict[str, set[str]] = {}
    for name, release in re.findall(
        r"^(?:~ )?([\w.-]+)==([\w.]+)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE
    ):
        found.setdefault(name, set()).add(release)
    return found


def test_every_instrumentor_has_its_row_and_no_other_has() -> None:
    """What is installed is what the table tells of."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(ROWS) == set(project["entry-points"]["opentelemetry_instrumentor"])


@pytest.mark.parametrize("entry_point", sorted(set(ROWS) - {"callfare_threads"}))
def test_the_releases_named_are_those_that_tests_run_with(entry_point: str) -> None:
    """The newest from constraints.txt, the older ones from vendors.txt: no more, and none left out."""
    distribution, tested = ROWS[entry_point]
    newest, older = pinned("constraints.txt"), pinned("tests/instrumentation/vendors.txt")
    run = newest.get(distribution, set()) | older.get(distribution, set())
    assert run
    assert set(re.findall(r"\d+(?:\.\d+)+", tested)) == run
