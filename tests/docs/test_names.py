"""What the manual names exists: commands, their options, variables and metrics."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

from cost_exporter.cli.commands import COMMANDS, load_command
from tests.examples.documents import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in [*DOCS.rglob("*.md"), *DOCS.glob("*.txt"), ROOT / "README.md"]
    if "adr" not in path.relative_to(ROOT).parts
)
CODE = re.compile(r"```\w*\n(.*?)```|`([^`]+)`", re.DOTALL)
CALL = re.compile(r"(?<![\w/.=-])callfare( [^\s`|&;#)][^\n`|&;#)]*)")
OF_THE_LOG = {"could"}
"""Lines of the log begin like a command: `callfare could not store spans`."""
OF_OTHERS = {"CALLFARE_TEST_DATABASE_URL", "CALLFARE_UPDATE_DOCUMENTS", "CALLFARE_CALLS", "CALLFARE_BINARY_CACHE"}


def code_of(text: str) -> Iterator[str]:
    """Yield the code of a page: blocks with their lines joined where they go on, and spans."""
    for block, span in CODE.findall(text):
        yield re.sub(r"(?m)(^|\s)#.*$", "", (block or span).replace("\\\n", " "))


def unknown(words: list[str]) -> list[str]:
    """What of a command line callfare does not know."""
    name, *rest = words
    if name not in COMMANDS:
        return [name]
    command: Any = load_command(name)
    while isinstance(command, TyperGroup) and rest and re.match(r"[a-z]", rest[0]):
        below, *rest = rest
        if below not in command.commands:
            return [] if re.fullmatch(r"[\w-]+\|[\w|-]+", below) else [f"{name} {below}"]
        command = command.commands[below]
    known = {"--help", *(option for each in command.params for option in [*each.opts, *each.secondary_opts])}
    asked = [re.split(r"[=\[\],]", word)[0] for word in rest if re.match(r"\[?--\w", word)]
    return [f"{name} {option}" for option in (each.lstrip("[") for each in asked) if option not in known]


def calls_in(text: str) -> list[str]:
    """What of the calls in a page is not known."""
    found: list[str] = []
    for code in code_of(text):
        for arguments in CALL.findall(code):
            words = arguments.split()
            is_a_call = bool(words) and re.fullmatch(r"[a-z]+", words[0]) and words[0] not in OF_THE_LOG
            found += unknown(words) if is_a_call else []
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_option_on_a_page_exists(page: Path) -> None:
    """As they stand in its code."""
    assert calls_in(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("`callfare repport`", ["repport"]),
        ("`callfare report --groupby x`", ["report --groupby"]),
        ("```\ncallfare prices lode f\n```", ["prices lode"]),
        ("```sh\nX=1 callfare budget set a --tenant b \\\n  --limits 3\n```", ["budget --limits"]),
        ("`callfare prices load FILE`, `pip install 'callfare[all]'` and `callfare[x] y`", []),
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str, names: list[str]) -> None:
    """Also below a group, in a block, and on a line that goes on."""
    assert calls_in(text) == names


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_variable_and_metric_on_a_page_exists(page: Path) -> None:
    """Those of the program are in the reference, and those of the Collector's files there."""
    text = page.read_text(encoding="utf-8")
    known = (DOCS / "reference" / "environment.md").read_text() + (DOCS / "reference" / "metrics.md").read_text()
    files = [path for path in (ROOT / "collector-config").rglob("*") if path.is_file()]
    known += "".join(path.read_text(encoding="utf-8") for path in files)
    variables = set(re.findall(r"\bCALLFARE_[A-Z][A-Z_]*[A-Z]\b(?!_?\*)", text)) - OF_OTHERS
    metrics = set(re.findall(r"\bcallfare_\w+_(?:total|seconds|missing|mismatch)\b", text))
    assert {name for name in variables | metrics if name not in known} == set()


def test_every_named_block_belongs_to_a_page_that_a_test_runs() -> None:
    """A block that says it is run is run: some test reads the blocks of its page."""
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = {page.stem for page in PAGES if "<!-- run: " in page.read_text(encoding="utf-8")}
    assert len(named) > 10
    assert {name for name in named if not re.search(rf'["\'](?:\.\./(?:\w+/)?)?{name}["\']', tests)} == set()


def test_the_list_for_programs_has_every_page_of_the_navigation() -> None:
    """docs/llms.txt names the pages that mkdocs.yml does, and no other."""
    navigation = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    listed = set(re.findall(r"\]\(([\w/-]+\.md)\)", (DOCS / "llms.txt").read_text(encoding="utf-8")))
    assert len(navigation) > 30
    assert listed == navigation - {"index.md"}


def test_every_link_of_the_readme_leads_somewhere() -> None:
    """Files and pages of the repository."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(targets) > 20
    assert [target for target in targets if not (ROOT / target).exists()] == []
