"""What linters miss: the house rules that a reader relies on."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SOURCES = ("cost_exporter", "instrumentation/callfare")
LINES_MAX = 450
TEST_LINES_MAX = 600
"""A test file may be a list of cases, which is read one at a time."""

UNIT_SUFFIXES = (
    *("_usd", "_seconds", "_ms", "_ns", "_days", "_bytes", "_mib", "_count", "_percent", "_size", "_max", "_port"),
    *("_us", "_day", "_unpriced", "_per_second", "seconds", "_id", "_sequence", "_hash", "_hz", "_places"),
    *("_version", "_index", "_status", "_code"),
)
NUMBERS_WITHOUT_UNIT = {
    # A quantity's unit stands beside it in the same value; a factor and a ratio have none.
    *("quantity", "billed_quantity", "per", "amount", "factor", "increment", "minimum", "percent", "fixed"),
    *(
        "price",
        "above",
        "position",
        "partition",
        "offset",
        "port",
        "number",
        "priority",
        "rank",
        "version",
        "attempts",
        "start",
        "end",
    ),
    *("line", "column", "content", "received", "accepted", "duplicate", "conflict", "ignored", "dead_letter", "depth"),
    # Counts of what the name says, in the plural.
    *("slots", "slot", "records", "traces", "attempts", "seq", "wire_type", "characters", "channels"),
    *("total_tokens", "input_tokens", "output_tokens", "llm_calls"),
    "threshold",  # of an alert: percent, dollars, minutes or days, by its kind
}


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in path.parts)


def is_value_class(node: ast.ClassDef) -> bool:
    names = {ast.unparse(decorator).split("(")[0].split(".")[-1] for decorator in node.decorator_list}
    return bool(names & {"value", "dataclass"})


def number_fields(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and is_value_class(node):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    kinds = set(re.findall(r"\w+", ast.unparse(field.annotation))) - {"None"}
                    if kinds and kinds <= {"int", "float", "Decimal"}:
                        yield field.lineno, field.target.id


def has_unit(name: str) -> bool:
    return name in NUMBERS_WITHOUT_UNIT or name.strip("_").endswith(UNIT_SUFFIXES) or name.endswith("_unix_ns")


def test_number_fields_of_values_say_their_unit() -> None:
    """Every number in a dataclass has its unit as the last part of its name."""
    nameless = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in python_files(*SOURCES)
        for line, name in number_fields(path)
        if not has_unit(name)
    ]
    assert nameless == []


def test_tidy_sees_a_number_without_unit(tmp_path: Path) -> None:
    """The check above can fail: a bare duration is found."""
    planted = tmp_path / "planted.py"
    planted.write_text("@value\nclass Planted:\n    timeout: float | None\n    wait_seconds: float\n    name: str\n")
    assert [name for _, name in number_fields(planted) if not has_unit(name)] == ["timeout"]


NARRATIVE = {"said", "told", "tells", "heard", "unsaid", "untold"}
"""Words that say that something was stated, and not what it is."""


def given_names(path: Path) -> Iterator[tuple[int, str]]:
    """Every name that a file with such words gives: to a variable, a parameter, an attribute, a function or a class."""
    text = path.read_text(encoding="utf-8")
    if not re.search("|".join(NARRATIVE), text, re.IGNORECASE):
        return  # most files, and parsing takes long
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def is_narrative(name: str) -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_")
    return not NARRATIVE.isdisjoint(words) and words[0] != "test"  # the name of a test is a sentence


def test_names_say_what_a_value_is() -> None:
    """Not that it was said: attributes, a message, a reply, an outcome."""
    narrative = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in python_files(*SOURCES, "tests", "scripts", "benchmarks", "examples")
        for line, name in given_names(path)
        if is_narrative(name)
    ]
    assert narrative == []


def test_tidy_sees_a_name_that_only_says_that_something_was_said(tmp_path: Path) -> None:
    """The check above can fail, whatever is named; prose, uses and the names of tests are left alone."""
    planted = tmp_path / "planted.py"
    planted.write_text(
        "class HeardWord:\n"
        "    def tells_more(self, told, other=said):\n"
        "        self._all_said = [heard_until for heard_until in told]\n"
        "        saidah = 'said'  # said\n"
        "def test_what_was_said(aside): ...\n"
    )
    assert sorted(name for _, name in given_names(planted) if is_narrative(name)) == [
        "HeardWord",
        "_all_said",
        "heard_until",
        "tells_more",
        "told",
    ]


def test_domain_has_no_float() -> None:
    """The domain neither writes nor mentions floats: money and quantities are exact."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files("cost_exporter/domain")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    ]
    assert found == []


def test_no_file_is_too_long_to_read() -> None:
    """One idea a file: no source is longer than 450 lines."""
    long = [
        f"{path.relative_to(ROOT)}: {length} lines"
        for lines_max, folders in ((LINES_MAX, (*SOURCES, "benchmarks", "examples")), (TEST_LINES_MAX, ("tests",)))
        for path in python_files(*folders)
        if (length := len(path.read_text(encoding="utf-8").splitlines())) > lines_max
    ]
    assert long == []


def short_deadlines(path: Path) -> Iterator[int]:
    """Lines with a call that gives up after less than a minute: `timeout=10`, `thread.join(10)`, `event.wait(5)`.

    Below a second it is no deadline but a glance, at something that must not come.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            given = [each.value for each in node.keywords if each.arg == "timeout"]
            if isinstance(node.func, ast.Attribute) and node.func.attr in {"wait", "join", "result", "exception"}:
                given += node.args[:1]
            for each in given:
                if isinstance(each, ast.Constant) and isinstance(each.value, int | float) and 1 <= each.value < 60:
                    yield node.lineno


def test_no_deadline_of_a_test_is_short() -> None:
    """A slow machine, or one that stands still for seconds, decides no test: tests/support/waiting.py has deadlines."""
    short = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in python_files("tests")
        if "fixtures" not in path.parts
        for line in short_deadlines(path)
    ]
    assert short == []


def test_tidy_sees_a_short_deadline(tmp_path: Path) -> None:
    """The check above can fail; a minute, and what is no number, are left alone."""
    planted = tmp_path / "planted.py"
    planted.write_text(
        'thread.join(10)\nget(url, timeout=5)\nget(url, timeout=60)\n"".join(["10"])\nevent.wait(LONG)\n'
    )
    assert list(short_deadlines(planted)) == [1, 2]


def test_every_module_begins_with_what_it_does() -> None:
    """Every source file has a module docstring."""
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files(*SOURCES)
        if path.name != "attributes.py" and ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert silent == []


def test_no_todo_without_an_issue() -> None:
    """A TODO names its issue, or is done, or is not written."""
    word = "TO" + "DO"
    listed = subprocess.run(
        ["git", "grep", "-nE", rf"\b({word}|FIX" + r"ME|XXX)\b", "--", "*.py", "*.sql", "*.md", "*.yaml", "Makefile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    without = [
        line for line in listed.stdout.splitlines() if not re.search(rf"{word} \(?#\d+|{word}\(issue \d+\)", line)
    ]
    assert [line for line in without if not line.startswith(("tests/test_tidy.py", "pyproject.toml"))] == []


RULE_REFERENCE = re.compile(r"\b(?:semantics|rules?) (\d+(?:(?:, | and | to )\d+)*)", re.IGNORECASE)
REFERRING = ("*.py", "*.sql", "*.md", "*.yaml", "*.toml", "Makefile")


def rules() -> set[int]:
    text = (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    return {int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)}


def rule_references(text: str) -> Iterator[int]:
    """The numbers of the rules that a text refers to, also where a line breaks before the number."""
    for match in RULE_REFERENCE.finditer(re.sub(r"\s*\n[\s#]*", " ", text)):
        yield from map(int, re.findall(r"\d+", match[1]))


def test_every_rule_that_is_referred_to_exists() -> None:
    """A number in code or documents leads to a rule in docs/reference/rules.md, whose numbers have no gap."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *REFERRING], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = {
        (name, number)
        for name in listed
        if not name.startswith("tests/fixtures/")
        for number in rule_references((ROOT / name).read_text(encoding="utf-8"))
    }
    assert sorted(rules()) == list(range(1, max(rules()) + 1))
    assert len(found) > 20
    assert {(name, number) for name, number in found if number not in rules()} == set()


def test_tidy_sees_a_rule_that_does_not_exist() -> None:
    """The check above can fail: numbers are found one by one, in lists, and after a line break."""
    assert set(rule_references("(rules 4, 16 and 22), rule\n    # 5, Rule 6 of 7 rules; 8 rules 9")) == {
        4,
        16,
        22,
        5,
        6,
        9,
    }


def shipped_prices() -> list[tuple[str, dict[str, object]]]:
    rows: list[tuple[str, dict[str, object]]] = []
    for path in sorted((ROOT / "cost_exporter" / "prices").rglob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        inherited = {key: content[key] for key in ("source", "checked", "confidence") if key in content}
        rows += [(f"{path.name}[{index}]", inherited | row) for index, row in enumerate(content.get("prices", []))]
    return rows


def test_every_shipped_price_has_a_source_and_a_date() -> None:
    """A price without a page to check it by, and the day it was checked, is a rumour."""
    rows = shipped_prices()
    if not rows:
        pytest.fail("no shipped price files found under cost_exporter/prices")
    rumours = [
        name
        for name, row in rows
        if not str(row.get("source", "")).startswith("https://")
        or not re.match(r"\d{4}-\d\d-\d\d", str(row.get("checked")))
    ]
    assert rumours == []


def test_commands_in_the_readme_exist() -> None:
    """Every `make` command that the documents show is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for line in re.findall(r"(?:^|`)make ([a-z][a-z -]*)", text, re.MULTILINE):
            assert set(line.split()) <= targets, f"{name} shows `make {line}`"
