"""The how-tos as documents: complete, and every example listed."""

import re

import pytest

from tests.examples.documents import HOW_TO, ROOT

RECIPES = sorted(path.stem for path in HOW_TO.glob("*.md") if path.stem != "environment")


@pytest.mark.parametrize("name", RECIPES)
def test_a_how_to_ends_with_what_a_reader_needs(name) -> None:
    """How to see that it works, and what to do if it does not."""
    text = (HOW_TO / f"{name}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert {"Verify", "If it doesn't work"} <= set(headings)


def test_every_example_is_listed_and_every_listed_one_exists() -> None:
    """examples/README.md knows them all."""
    listed = set(
        re.findall(r"`(\w[\w-]*\.(?:py|yaml))`", (ROOT / "examples" / "README.md").read_text(encoding="utf-8"))
    )
    there = {path.name for path in (ROOT / "examples").iterdir() if path.suffix in {".py", ".yaml"}}
    assert listed == there


def test_every_example_is_run() -> None:
    """Each is named by a test, or by a block of a how-to that a test runs."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "examples").glob("*.py")]
    texts += [path.read_text(encoding="utf-8") for path in HOW_TO.glob("*.md")]
    run = set(re.findall(r"(\w+)(?:\.py|:app)\b", "\n".join(texts)))
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} <= run


@pytest.mark.parametrize("path", [*HOW_TO.glob("*.md"), ROOT / "examples" / "README.md"], ids=lambda path: path.stem)
def test_links_between_documents_lead_somewhere(path) -> None:
    """A relative link is a file of the repository."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).resolve().exists()] == []
