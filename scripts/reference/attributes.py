"""Span attributes, from the list that the instrumentation and the service share."""

import ast

from scripts.reference.markdown import ROOT, code, described, table

SOURCE = ROOT / "instrumentation" / "callfare" / "attributes.py"


def page() -> list[str]:
    """Return the page: every attribute under its heading."""
    lines = [
        "Written by our instrumentation and read from any span. Other spellings of the same facts are read as well: see",
        "[supported instrumentations](../emitters.md). The attribution attributes are also baggage entries of the same names.",
        "",
    ]
    rows: list[tuple[str, str]] = []
    heading = ""
    for name, value, text, above in attributes():
        if above and above != heading:
            lines += section(heading, rows)
            heading, rows = above, []
        rows.append((code(value), described(text, name, "callfare/attributes.py")))
    return lines + section(heading, rows)


def attributes() -> list[tuple[str, str, str, str]]:
    """Return (constant, attribute, meaning, heading above) in the order of the file."""
    found: list[tuple[str, str, str, str]] = []
    heading = ""
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    body = ast.parse("\n".join(lines)).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        above = lines[node.lineno - 2] if node.lineno > 1 else ""
        if above.startswith("# "):
            heading = above.removeprefix("# ").split(":")[0].rstrip(".")
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            text = ""
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                text = str(following.value.value)
            found.append((node.targets[0].id, ast.literal_eval(node.value), text, heading))
    return found


def section(heading: str, rows: list[tuple[str, str]]) -> list[str]:
    """Return one table under its heading; nothing for no rows."""
    if not rows:
        return []
    return [f"## {heading[0].upper()}{heading[1:]}", "", *table(["attribute", "type and meaning"], rows)]
