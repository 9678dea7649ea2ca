"""The list of decisions, from the titles of docs/adr."""

import re

from scripts.reference.markdown import ROOT, Undescribed, table

FOLDER = ROOT / "docs" / "adr"


def page() -> list[str]:
    """Return the page: every decision with its title and state."""
    rows: list[tuple[str, str]] = []
    numbers: set[int] = set()
    for path in sorted(FOLDER.glob("0*.md")):
        title = re.match(r"# (\d+)\. (.+)\n\n(\w+)", path.read_text(encoding="utf-8"))
        if title is None:
            raise Undescribed(f"docs/adr/{path.name} has no description; begin with `# N. Title` and `Accepted, DATE.`")
        if int(title[1]) != int(path.name[:4]) or int(title[1]) in numbers:
            raise Undescribed(
                f"docs/adr/{path.name}: its title is number {title[1]}; give it a number of its own, the same in both"
            )
        numbers.add(int(title[1]))
        rows.append((f"[{title[1]}. {title[2]}]({path.name})", title[3].lower()))
    lines = ["What was decided, what else was considered, and what follows from it.", ""]
    return lines + table(["decision", "state"], rows)
