"""The commands of a how-to, as a reader would paste them.

A fenced block that a test runs says so in a comment above it, which no reader sees: `<!-- run: service -->` is left
running, `<!-- run: app grpc -->` is run to its end, `<!-- run: output -->` is what `<!-- run: verify -->` prints.
Every other block has a comment `<!-- shown: WHY -->`, as tests/docs/test_blocks.py has it.
With CALLFARE_UPDATE_DOCUMENTS=1 the tests write what they saw into the documents, instead of comparing.
"""

import os
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
HOW_TO: Final = ROOT / "docs" / "how-to"
_FENCE: Final = re.compile(r"^(?:<!-- run: ([\w -]+) -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES: Final = {
    "service": "sh",
    "web": "sh",
    "app": "sh",
    "verify": "sh",
    "output": "text",
    "file": "yaml",
    "code": "python",
    "editor": "json",
}
"""The roles there are, and what a block of each is written in."""


def blocks(document: str) -> dict[str, str]:
    """The named blocks of docs/how-to/NAME.md: `{"service": "callfare up", ...}`."""
    found: dict[str, str] = {}
    for name, language, text in _FENCE.findall((HOW_TO / f"{document}.md").read_text(encoding="utf-8")):
        if name:
            assert name not in found, f"{document}.md has two blocks named {name!r}"
            assert LANGUAGES.get(name.split()[0]) == language, f"{document}.md: {language} {name} is no known role"
            found[name] = text
    return found


def check_output(document: str, printed: str, name: str = "output") -> None:
    """A test's assertion: this is what the document shows as its output, or its output NAME."""
    shown = blocks(document)[name]
    if os.environ.get("CALLFARE_UPDATE_DOCUMENTS"):
        path = HOW_TO / f"{document}.md"
        text, mark = path.read_text(encoding="utf-8"), f"<!-- run: {name} -->\n```text\n"
        path.write_text(text.replace(f"{mark}{shown}```", f"{mark}{_as_shown(printed)}\n```"))
        return
    assert _as_shown(printed) == _as_shown(shown)


def _as_shown(output: str) -> str:
    """An output as a document may show it: dates and trace ids differ each time, and nobody sees blanks."""
    text = re.sub(r"\d{4}-\d\d-\d\d", "YYYY-MM-DD", output)
    text = re.sub(r"\d{4}-\d\d\b", "YYYY-MM", text)
    text = re.sub(r"\b[0-9a-f]{32}\b", "TRACE_ID", text)
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID", text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
