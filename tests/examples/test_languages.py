"""docs/how-to/nodejs.md, java.md and go.md, run as they are written: from nothing but the runtime to a cost."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.binaries import unavailable
from tests.examples.conftest import Books
from tests.examples.documents import HOW_TO, ROOT, blocks, check_output
from tests.examples.shell import Shell
from tests.examples.test_recipes import ANSWER, CHAT_USD
from tests.support.stored import running_service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # what the example needs may have to be fetched first

INSTALL_SECONDS_MAX = 900
PROGRAMS = {"nodejs": ("node", "npm"), "java": ("java", "javac", "mvn"), "go": ("go",)}
FOLDERS = {"nodejs": "examples/node", "java": "examples/java", "go": "examples/go"}
OF_TELEMETRY = ("OTEL_", "CALLFARE_", "PYTHON")


@pytest.mark.parametrize("language", PROGRAMS)
def test_an_application_in_another_language(
    language: str, tmp_path: Path, books: Books, operator: Shell, vendor: dict[str, str]
) -> None:
    """One call with the real SDK is one record with the vendor's own counts, attributed as the page states."""
    page = blocks(language)
    folder = installed(language, page["app install"])
    given = {name: text for name, text in os.environ.items() if not name.startswith(OF_TELEMETRY)}
    given["OTEL_EXPORTER_OTLP_TIMEOUT"] = "60000"  # milliseconds here, seconds in Python's SDK
    reader = Shell(tmp_path, given | vendor, {FOLDERS[language]: str(folder)})
    with running_service(books.url) as addresses:
        reader.moved["127.0.0.1:4318"] = str(addresses["http"])
        assert reader.run(page["app run"]) == ANSWER
    found = books.costs(columns="tenant_id, category, service_name, status, cost_usd")
    assert found == [("acme", "bot", "support-bot", "priced", CHAT_USD)]
    check_output(language, operator.run(page["verify"]))


@pytest.mark.parametrize("language", FOLDERS)
def test_a_page_shows_lines_of_its_example(language: str) -> None:
    """What stands on the page without being run is in the program that is."""
    text = (HOW_TO / f"{language}.md").read_text(encoding="utf-8")
    program = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / FOLDERS[language]).iterdir() if path.is_file()
    )
    shown = [part.split("```")[0] for name in ("js", "go") for part in text.split(f"```{name}\n")[1:]]
    assert shown or language == "java"
    assert [part for part in shown if part not in program] == []


def installed(language: str, commands: str) -> Path:
    """A copy of the example with what it needs, made once a machine by the page's own commands."""
    missing = [program for program in PROGRAMS[language] if shutil.which(program) is None]
    if missing:
        unavailable(f"the example needs {' and '.join(missing)} on the PATH")
    source = ROOT / FOLDERS[language]
    files = sorted(path for path in source.iterdir() if path.is_file() and path.name != "support-bot")
    key = hashlib.sha256(b"".join(path.read_bytes() for path in files) + commands.encode()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "callfare"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"example-{language}-{key}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for path in files:
                shutil.copy(path, folder)
            moved = commands.replace(FOLDERS[language], str(folder))
            done = subprocess.run(
                ["bash", "-euc", moved],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS_MAX,
                check=False,
            )
            if done.returncode != 0:
                unavailable(f"the example cannot be installed: {(done.stdout + done.stderr)[-500:]}")
            (folder / "installed").touch()
    return folder
