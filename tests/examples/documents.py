"""The commands of a how-to, as a reader would paste them.

A fenced block that a test runs says so after its language: `sh service` is left running, `sh app grpc` is run to its
end, `text output` is what `sh verify` prints. Blocks without a second word are for the reader alone.
With CALLFARE_UPDATE_DOCUMENTS=1 the tests write what they saw into the documents, instead of comparing.
"""

import os
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
HOW_TO: Final = ROOT / "docs" / "how-to"
_FENCE: Final = re.compile(r"^```(\w+)(?: ([\w -]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES: Final = {"service": "sh", "web": "sh", "app": "sh", "verify": "sh", "output": "text", "file": "yaml"}
"""The roles there are, and what a block of each is written in."""


def blocks(document: str) -> dict[str, str]:
    """The named blocks of docs/how-to/NAME.md: `{"service": "callfare up", ...}`."""
    found: dict[str, str] = {}
    for language, name, text in _FENCE.findall((HOW_TO / f"{document}.md").read_text(encoding="utf-8")):
        if name:
            assert name not in found, f"{document}.md has two blocks named {name!r}"
            assert LANGUAGES.get(name.split()[0]) == language, f"{document}.md: {language} {name} is no known role"
            found[name] = text
    return found


def check_output(document: str, printed: str) -> None:
    """A test's assertion: this is what the document shows under `text output`."""
    shown = blocks(document)["output"]
    if os.environ.get("CALLFARE_UPDATE_DOCUMENTS"):
        path = HOW_TO / f"{document}.md"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(f"```text output\n{shown}```", f"```text output\n{_as_shown(printed)}\n```"))
        return
    assert _as_shown(printed) == _as_shown(shown)


def _as_shown(output: str) -> str:
    """An output as a document may show it: dates and trace ids differ each time, and nobody sees blanks."""
    text = re.sub(r"\d{4}-\d\d-\d\d", "YYYY-MM-DD", output)
    text = re.sub(r"\b[0-9a-f]{32}\b", "TRACE_ID", text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
