"""The words of scripts/words.txt are not used."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import words

    return words


def test_no_word_of_the_list_is_used() -> None:
    """In no document, docstring, comment, message, template or statement."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / "words.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("docs/a.md", "# A\nThe error says the mend.\n", [(2, "mend")]),
        ("docs/a.md", "On whose account a call goes\nDead letters are kept.\n", [(1, "On whose account")]),
        ("a.py", '"""What was told by a span."""\n\ntold = 1\n', [(1, "told")]),
        ("a.py", "def mend(letters):\n    return letters  # what it tells\n", [(2, "tells")]),
        ("a.py", 'raise Error(f"{name} is wrong: mend it")\n', [(1, "mend")]),
        ("a.yaml", "# Who asks twice gets it twice.\nkey: value\n", [(1, "# Who asks")]),
        ("docs/a.md", "Who is this for? An error message says how to fix it.\n", []),
    ],
)
def test_a_word_is_found_where_people_read(words: Any, name: str, source: str, found: list[tuple[int, str]]) -> None:
    """In documents, docstrings, comments and messages; names in code are not looked at."""
    assert [(line, word) for line, word, _ in words.findings(name, source, words.rules())] == found
