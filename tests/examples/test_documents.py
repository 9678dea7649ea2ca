"""The how-tos as documents: complete, and every example listed."""

import re
import subprocess
import sys

import pytest

from tests.examples.documents import HOW_TO, ROOT

RECIPES = sorted(path.stem for path in HOW_TO.glob("*.md") if path.stem != "environment")


@pytest.mark.parametrize("name", RECIPES)
def test_a_how_to_ends_with_what_a_reader_needs(name) -> None:
    """How to see that it works, and what to do if it does not."""
    text = (HOW_TO / f"{name}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert {"Verify", "If it doesn't work"} <= set(headings)


@pytest.mark.parametrize("name", RECIPES)
def test_a_how_to_says_what_to_install(name) -> None:
    """A reader who starts with it alone gets the programs it runs."""
    text = (HOW_TO / f"{name}.md").read_text(encoding="utf-8")
    assert re.search(r"^(pip install|collector-config/builder/build\.sh)", text, re.MULTILINE)


def test_a_how_to_of_a_server_names_the_url_to_ask() -> None:
    """Each server that it starts is asked once, at a path that the server has."""
    text = (HOW_TO / "web-servers.md").read_text(encoding="utf-8")
    assert re.search(r"`curl .*http://127\.0\.0\.1:8000/ask`", text)
    assert '@app.get("/ask")' in (ROOT / "examples" / "web_asgi.py").read_text(encoding="utf-8")
    assert "`http://127.0.0.1:8000/` for gunicorn" in text


SERVERS = sorted(path for path in (ROOT / "examples").glob("*.py") if "serve_forever" in path.read_text("utf-8"))


@pytest.mark.parametrize("path", SERVERS, ids=lambda path: path.stem)
def test_an_example_server_says_what_it_is_and_ends(path) -> None:
    """`--help` starts nothing."""
    done = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--port" in done.stdout


def test_there_is_an_example_server() -> None:
    """The check above can fail only where there is one."""
    assert SERVERS


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
