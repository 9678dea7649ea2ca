"""Migrations: applied once, in order, never edited, never behind the program's back."""

from typing import LiteralString

import psycopg
import pytest

from cost_exporter.errors import SchemaMismatch, StoreUnavailable
from cost_exporter.store.database.migrate import Migration, check_schema, migrate, migrations
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import call, price_by_sum
from tests.store.requests import problems, request


def step(version: int, sql: LiteralString) -> Migration:
    return Migration(version=version, name="test", sql=sql)


def test_migrating_twice_applies_nothing_more(empty_database_url: str) -> None:
    """All steps are applied in order, and then none."""
    names = [f"{each.version:04}_{each.name}" for each in migrations()]
    assert names[0] == "0001_ledger"
    assert migrate(empty_database_url) == names
    assert migrate(empty_database_url) == []
    with psycopg.connect(empty_database_url) as connection:
        check_schema(connection)


def test_no_two_steps_have_one_number() -> None:
    """Two steps written side by side must not take the same number: the second would fail in every database."""
    versions = [each.version for each in migrations()]
    assert len(versions) == len(set(versions))


def test_a_step_that_fails_leaves_nothing(empty_database_url: str) -> None:
    """Each step is one transaction; those before it stay."""
    steps = [step(1, "create table callfare.one ()"), step(2, "create table callfare.two (); select 1/0")]
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_database_url, steps)
    with psycopg.connect(empty_database_url) as connection:
        found = connection.execute(
            "select tablename from pg_tables where schemaname = 'callfare' order by 1"
        ).fetchall()
    assert found == [("one",), ("schema_migration",)]
    assert migrate(empty_database_url, [steps[0], step(2, "select 1")]) == ["0002_test"]


def test_an_edited_step_is_refused(empty_database_url: str) -> None:
    """What was applied must be what we know."""
    migrate(empty_database_url, [step(1, "select 1")])
    with pytest.raises(SchemaMismatch, match="edited after it was applied"):
        migrate(empty_database_url, [step(1, "select 2")])


def test_a_newer_schema_is_refused_and_says_how_to_fix_it(empty_database_url: str) -> None:
    """An old program keeps its hands off a schema that it does not know."""
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("insert into callfare.schema_migration values (9999, 'future', 'x')")
        connection.commit()
        with pytest.raises(SchemaMismatch, match="does not know: upgrade callfare"):
            check_schema(connection)


EXPANDED: LiteralString = """-- Expand: a column that older programs leave alone, and a table that they do not know.
alter table callfare.record add column colour text;
create table callfare.later (tenant_id text not null)"""


def test_a_newer_schema_that_only_adds_lets_older_services_work(empty_database_url: str) -> None:
    """Services are upgraded one by one: an older one starts, stores and migrates on, and the sums are exact."""
    migrate(empty_database_url, [*migrations(), step(9999, EXPANDED)])
    assert migrate(empty_database_url) == []
    store = LedgerStore(empty_database_url)
    assert store.commit([request(call("a"))], price_by_sum)[0].accepted == 1
    store.close()
    with psycopg.connect(empty_database_url) as connection:
        check_schema(connection)
        assert problems(connection) == []


def test_one_step_that_does_not_only_add_stops_them(empty_database_url: str) -> None:
    """Whatever comes after it."""
    migrate(empty_database_url, [*migrations(), step(9998, "select 1"), step(9999, "-- Expand: nothing.\nselect 1")])
    with psycopg.connect(empty_database_url) as connection, pytest.raises(SchemaMismatch, match="9998_test"):
        check_schema(connection)


def test_a_table_of_migrations_from_before_is_widened(empty_database_url: str) -> None:
    """An older release made it without the column; until it has one, every step counts as one that changes things."""
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("alter table callfare.schema_migration drop column lets_older_work")
        check_schema(connection)
        assert migrate(empty_database_url) == []
        assert connection.execute("select bool_or(lets_older_work) from callfare.schema_migration").fetchone() == (
            False,
        )


def test_a_database_without_schema_names_the_command(empty_database_url: str) -> None:
    """The error says how to make one."""
    with (
        psycopg.connect(empty_database_url) as connection,
        pytest.raises(SchemaMismatch, match="run `callfare migrate`"),
    ):
        check_schema(connection)


def test_no_server_is_unavailable() -> None:
    """One line, without the URL's password."""
    with pytest.raises(StoreUnavailable, match="CALLFARE_DATABASE_URL") as caught:
        migrate("postgresql://u:canary@127.0.0.1:9/none")
    assert "canary" not in str(caught.value)
