"""The convention of `store/database/statements.py`: where SQL is, what it is called, and that it is used."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import cost_exporter
from cost_exporter.store.database.split import split_statements
from cost_exporter.store.database.statements import statements

ROOT = Path(cost_exporter.__file__).parent
SQL = [path for path in (ROOT / "store/sql").glob("*.sql") if path.name != "comments.sql"]
NAME = re.compile(r"^-- ([a-z][a-z0-9_]*) --$", re.MULTILINE)
VERBS = "select|insert|update|delete|with|lock|copy|create|alter|drop|truncate"
INLINE = re.compile(rf"\s*({VERBS})\b.*\bcallfare\.", re.IGNORECASE | re.DOTALL)


def texts_of(source: str) -> Iterator[str]:
    """Yield the texts of a module as they are at run time, f-strings with `{}` for what is put in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def inline_sql(source: str) -> list[str]:
    return [text for text in texts_of(source) if INLINE.match(text)]


def runners(path: Path) -> list[Path]:
    """The modules that have the name of a file of statements, or are in the package of that name."""
    found = [each for each in ROOT.rglob(f"{path.stem}.py") if each.relative_to(ROOT).parts[0] in {"store", "cli"}]
    return found + list((ROOT / "store" / path.stem).glob("*.py"))


def test_sql_that_names_a_table_of_ours_is_in_a_file() -> None:
    """Python holds none of it."""
    found = {str(path.relative_to(ROOT)): inline_sql(path.read_text()) for path in ROOT.rglob("*.py")}
    assert {path: texts for path, texts in found.items() if texts} == {}


def test_inline_sql_is_seen_in_whatever_string_it_stands() -> None:
    """Planted: plain, over two lines, and put together."""
    assert inline_sql("run('select 1 from callfare.record')")
    assert inline_sql("run('Delete from'\n' callfare.record')")
    assert inline_sql("run(f'insert into callfare.{table} values (1)')")
    assert not inline_sql("run('set local lock_timeout = 5')")


def test_a_file_has_named_described_single_statements() -> None:
    """After the name a comment, then one statement; what stands before the first name is a comment."""
    assert len(SQL) > 10
    for path in SQL:
        head, *parts = NAME.split(path.read_text())
        assert all(line.startswith("--") for line in head.strip().splitlines()), path.name
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            assert body.startswith("\n-- "), f"{path.name}: {name} has no description"
            assert body.rstrip().endswith(";"), f"{path.name}: {name} does not end with a semicolon"
            assert len(split_statements(statements()[name])) == 1, f"{path.name}: {name} holds more than one statement"


def test_each_statement_is_run_by_the_module_that_its_file_is_named_for() -> None:
    """So a reader of either knows where the other is, and nothing stays when its caller goes."""
    for path in SQL:
        sources = [module.read_text() for module in runners(path)]
        assert sources, path.name
        used = {text for source in sources for text in texts_of(source)}
        unused = set(NAME.findall(path.read_text())) - used
        assert not unused, f"{path.name}: {sorted(unused)}"
