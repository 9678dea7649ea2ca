"""Find words that this project does not use: `python scripts/words.py`.

Documents, configuration, templates and SQL are searched as they are; Python in its docstrings, comments and texts.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = ROOT / "scripts" / "words.txt"
FOLDERS = ("cost_exporter/", "instrumentation/", "collector-config/", "docs/", "examples/", "scripts/")
KINDS = (".py", ".md", ".yaml", ".yml", ".sql", ".html", ".sh")
EXCLUDED = (
    "scripts/words.py",
    "cost_exporter/store/sql/migrations/",  # a merged migration is never edited
    "docs/reference/",  # made from the code, where the words are counted
    "docs/adr/index.md",
    "cost_exporter/prices/LICENSES.md",  # other people's words
    *(f"collector-config/{name}.yaml" for name in ("dev", "production", "scale-out")),  # made from layers
)


def rules():
    """Return (pattern, advice) of each line of the list."""
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [(re.compile(pattern, re.IGNORECASE), advice) for pattern, advice in (line.split("\t") for line in lines)]


def files():
    """Return the files of the repository that people read."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [
        name
        for name in listed
        if name.endswith(KINDS) and (name.startswith(FOLDERS) or "/" not in name) and not name.startswith(EXCLUDED)
        if name != "CHANGELOG.md" and (ROOT / name).exists()
    ]


def texts(name, source):
    """Return (line, text) of everything in a file that people read."""
    if not name.endswith(".py"):
        return list(enumerate(source.splitlines(), 1))
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            found += list(enumerate(node.value.splitlines(), node.lineno))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            found.append((token.start[0], token.string.lstrip("# ")))
    return found


def findings(name, source, known):
    """Return (line, word, advice) of each word in a file that is on the list."""
    found = []
    for line, text in texts(name, source):
        for pattern, advice in known:
            found += [(line, match[0].strip(), advice) for match in pattern.finditer(text)]
    return found


def main():
    """Name every word on the list, with what to write instead."""
    known, used = rules(), 0
    for name in files():
        for line, word, advice in findings(name, (ROOT / name).read_text(encoding="utf-8"), known):
            sys.stdout.write(f"{name}:{line}: {word!r}: write {advice}\n")
            used += 1
    return fail(f"words of scripts/words.txt are used in {used} places: write others") if used else 0


def fail(text):
    """Print an error; return its exit code."""
    sys.stderr.write(f"error: {text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
