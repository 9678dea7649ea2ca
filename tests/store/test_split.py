"""Migrations are cut into statements: what looks like an end of one inside a string or a body is none."""

import re

import pytest

from cost_exporter.store.database.migrate import migrations
from cost_exporter.store.database.split import split_statements

FIRST_OF_ONE_CHANGE_EACH = 50
"""Older files were applied as they are."""


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", []),
        (" ;; ", []),
        ("select 1", ["select 1"]),
        ("select 1; select 2;", ["select 1", "select 2"]),
        ("select ';' ; select 'it''s;'", ["select ';'", "select 'it''s;'"]),
        (r"select E'\';' ; select 2", [r"select E'\';'", "select 2"]),
        ('select 1 as "a;b"; select 2', ['select 1 as "a;b"', "select 2"]),
        ("-- one; two\nselect 1; -- three;\nselect 2", ["select 1", "select 2"]),
        ("/* one; two */ select 1; select/*;*/2", ["select 1", "select 2"]),
        ("do $$ begin null; end $$; select 2", ["do $$ begin null; end $$", "select 2"]),
        ("do $a$ x; $$ y; $$ z; $a$; select 2", ["do $a$ x; $$ y; $$ z; $a$", "select 2"]),
        ("select '-- no comment;' ; select 2", ["select '-- no comment;'", "select 2"]),
        ("select 'open; select 2", ["select 'open", "select 2"]),
    ],
)
def test_a_file_is_cut_at_the_ends_of_its_statements(text: str, statements: list[str]) -> None:
    """Quotes of every kind, comments, and what is not closed, which the server then refuses."""
    assert split_statements(text) == statements  # pyright: ignore[reportArgumentType]


def test_a_body_that_cannot_be_cut_out_is_refused() -> None:
    """Its semicolons are those of statements."""
    with pytest.raises(ValueError, match=r"begin atomic.*write it between"):
        split_statements("create function f() returns int begin atomic select 1; end;")


def test_no_migration_changes_a_table_twice_in_one_statement() -> None:
    """One change each: not every server takes several, and an error names the one that failed."""
    combined = [
        (step.version, statement)
        for step in migrations()
        if step.version >= FIRST_OF_ONE_CHANGE_EACH
        for statement in split_statements(step.sql)
        if is_combined(statement)
    ]
    assert combined == []
    assert is_combined("alter table t add column a int, add column b int")
    assert not is_combined("alter table t add constraint c check (a in (1, 2))")


def is_combined(statement: str) -> bool:
    """Whether it is an `alter table` with a comma outside of parentheses."""
    if not re.match(r"alter\s+table", statement, re.IGNORECASE):
        return False
    flat, bare = "", statement
    while flat != bare:
        flat, bare = bare, re.sub(r"\([^()]*\)", "", bare)
    return "," in flat
