"""Every block of the manual is run by a test, or a comment above it states why it is only shown.

`<!-- run: NAME -->` is for tests/examples/documents.py. `<!-- shown: WHY -->` is one of these:

- `installs`: nothing but `pip install` lines, of extras that there are
- `a picture`
- `lines of FILE`: each line is in that file, which a test runs
- `as in FILE`: that test runs the same, with its own addresses or data
- `needs THING`: what no machine of ours has; the page says so to its reader as well
"""

import re
import tomllib
from pathlib import Path

import pytest

from tests.examples.documents import ROOT

MADE = "<!-- Made from the code"
"""The reference is made from the code, and its examples are tried by tests/reference."""
PAGES = sorted(
    path
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if "adr" not in path.parts and not path.read_text(encoding="utf-8").startswith(MADE)
)
BLOCK = re.compile(r"^(?:<!-- (run|shown): ([^\n]+) -->\n)?```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDED = {"Docker", "a cluster", "an account with OpenAI", "an application at Discord", "Spark", "Trino"}


def faults_of(text: str) -> list[str]:
    """What of a page's blocks is neither run nor shown for a reason that holds."""
    found: list[str] = []
    for kind, what, body in BLOCK.findall(text):
        first = body.strip().split("\n")[0]
        if not kind:
            found.append(f"{first}: neither run nor marked")
        elif kind == "shown" and not is_shown_rightly(what, body):
            found.append(f"{first}: {what}")
    return found


def is_shown_rightly(why: str, body: str) -> bool:
    """Whether the reason holds for the block."""
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    if why == "installs":
        return all(line.startswith("pip install ") for line in lines) and extras_in(body) <= set(extras())
    if why == "a picture":
        return True
    how, _, name = why.partition(" of " if why.startswith("lines") else " in " if why.startswith("as") else " ")
    path = ROOT / name
    if how == "lines":
        return path.is_file() and set(lines) - {"..."} <= {line.strip() for line in path.read_text().splitlines()}
    return path.is_file() if how == "as" else how == "needs" and name in NEEDED


def extras_in(text: str) -> set[str]:
    """The extras of callfare that a text installs."""
    return {name for group in re.findall(r"callfare\[([\w,-]+)\]", text) for name in group.split(",")}


def extras() -> dict[str, list[str]]:
    """The extras that there are."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_is_run_or_shown_for_a_reason(page: Path) -> None:
    """And the reason holds."""
    assert faults_of(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_extra_on_a_page_exists(page: Path) -> None:
    """Also in the middle of a sentence."""
    assert extras_in(page.read_text(encoding="utf-8")) - {"a", "b", "x"} <= set(extras())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_that_is_run_is_asked_for(page: Path) -> None:
    """A test names the block: `page["verify rerate"]`, or `page[f"verify {step}"]` and "rerate"."""
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "examples").glob("*.py"))
    tests += "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "kafka").glob("*.py"))
    tests += (ROOT / "tests/instrumentation/crewai/framework_crewai.py").read_text(encoding="utf-8")
    names = [what for kind, what, _ in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == "run"]
    lost = [name for name in names if not is_asked_for(name, tests)]
    assert lost == []


def is_asked_for(name: str, tests: str) -> bool:
    """Whether tests have the name as a literal, or as a prefix and a word."""
    role, _, word = name.partition(" ")
    return f'"{name}"' in tests or f"'{name}'" in tests or (f'f"{role} {{' in tests and f'"{word}"' in tests)


@pytest.mark.parametrize(
    "text",
    [
        "```sh\ncallfare up\n```",
        "<!-- shown: because -->\n```sh\ncallfare up\n```",
        "<!-- shown: installs -->\n```sh\npip install 'callfare[nonsense]'\n```",
        "<!-- shown: installs -->\n```sh\npip install 'callfare[all]'\ncallfare up\n```",
        "<!-- shown: as in tests/examples/test_nothing.py -->\n```sh\ncallfare up\n```",
        "<!-- shown: lines of examples/chat.py -->\n```python\nimport nothing\n```",
        "<!-- shown: needs patience -->\n```sh\ncallfare up\n```",
    ],
)
def test_a_block_that_nothing_runs_is_found(text: str) -> None:
    """Each way to leave a block untested."""
    assert len(faults_of(text)) == 1
