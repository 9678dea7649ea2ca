"""The service's own user: it stores, reads, re-rates and purges, owns nothing, and can do nothing else."""

import os
from collections.abc import Iterator
from datetime import date
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cost_exporter.domain.attribution import Attribution
from cost_exporter.errors import SchemaMismatch
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.database.roles import SERVICE, notes_on_login, problems_of_roles
from cost_exporter.store.deep_check import deep_check
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.reading import Period, ReaderPool
from cost_exporter.store.rerate import apply_rerate
from cost_exporter.store.retention import purge_before
from tests.domain.builders import OTHER_TRACE, call, link, price_by_sum
from tests.store.requests import problems, request, rows
from tests.store.test_journal import ALL_TIME
from tests.store.test_later_changes import NEW

Database = psycopg.Connection[Any]
ACME, GLOBEX = Attribution(tenant="acme"), Attribution(tenant="globex")


@pytest.fixture
def service_url(database: Database) -> Iterator[str]:
    """The URL of a user that has the role of the service and nothing else."""
    name = f"callfare_service_test_{os.getpid()}"
    user = sql.Identifier(name)
    database.execute(sql.SQL("create role {} login password 'secret'").format(user))
    database.execute(sql.SQL("grant {} to {}").format(sql.Identifier(SERVICE), user))
    yield make_conninfo(**(conninfo_to_dict(database.info.dsn) | {"user": name, "password": "secret"}))
    database.execute(sql.SQL("drop role {}").format(user))


def test_the_service_works_without_owning_anything(service_url: str, database: Database) -> None:
    """It makes the month, stores, settles again, re-rates, reads for one tenant and for all, and drops the month."""
    assert migrate(service_url) == []
    ledger = LedgerStore(service_url)
    ledger.commit([request(call("a", attribution=ACME), link("root", parent=None))], price_by_sum)
    ledger.commit(
        [request(call("b", attribution=ACME), call("c", trace=OTHER_TRACE, attribution=GLOBEX))], price_by_sum
    )
    ledger.close()
    *_, totals = apply_rerate(service_url, ALL_TIME, NEW, "new")
    assert totals.records == 3
    pool = ReaderPool(service_url)
    seen = {}
    for tenants in (frozenset({"acme"}), None):
        with pool.lend_to(tenants) as reader:
            seen[tenants] = {row["tenant_id"] for row in reader.spend(Period.always(), ("tenant_id",))}
    pool.close()
    assert seen == {frozenset({"acme"}): {"acme"}, None: {"acme", "globex"}}
    with psycopg.connect(service_url, autocommit=True) as connection:
        assert problems(connection) == []
        assert problems_of_roles(connection) == notes_on_login(connection) == []
        assert purge_before(connection, date(2027, 1, 1))
        assert problems(connection) == []
    assert rows(database, "select count(*) from callfare.cost_record") == [(0,)]


def test_the_service_can_change_nothing_but_rows(service_url: str, database: Database) -> None:
    """No table, no policy, no role, no partition by its name; the audit log only grows."""
    ledger = LedgerStore(service_url)
    ledger.commit([request(call("a", attribution=ACME))], price_by_sum)
    ledger.close()
    (partition,) = rows(database, "select relname from pg_class where relispartition and relkind = 'r' limit 1")[0]
    refused = (
        "create table callfare.mine (x integer)",
        "alter table callfare.record disable row level security",
        "drop table callfare.record",
        "truncate callfare.record",
        "create role callfare_mine",
        f"select * from callfare.{partition}",
        "update callfare.audit set action = 'nothing'",
        "delete from callfare.audit",
        "select callfare.drop_month('2026-09-01')",
        "set role callfare",
    )
    with psycopg.connect(service_url, autocommit=True) as connection:
        for each in refused:
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.RaiseException)):
                connection.execute(each)  # pyright: ignore[reportArgumentType]
        assert connection.execute(
            "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb from pg_roles where rolname = current_user"
        ).fetchone() == (False, False, False, False)


def test_a_month_is_dropped_only_by_who_marked_it(service_url: str, database: Database) -> None:
    """A mark that is there already, or was made by hand, drops nothing: the closing balances come with it."""
    ledger = LedgerStore(service_url)
    ledger.commit([request(call("a", attribution=ACME))], price_by_sum)
    ledger.close()
    (month,) = rows(database, "select bucket from callfare.bucket")[0]
    database.execute("update callfare.bucket set purged_at = now()")
    with (
        psycopg.connect(service_url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.RaiseException, match="is not marked as purged in this transaction"),
    ):
        connection.execute("select callfare.drop_month(%s)", [month])
    database.execute("update callfare.bucket set purged_at = null")
    assert rows(database, "select count(*) from callfare.record") == [(1,)]


def test_who_goes_around_the_policies_is_named(service_url: str, database: Database) -> None:
    """The owner of the schema, which a service can also run as."""
    assert "superuser" in notes_on_login(database)[0]
    with psycopg.connect(service_url) as connection:
        assert notes_on_login(connection) == []


def test_a_schema_that_lacks_a_step_is_its_owners(service_url: str, database: Database) -> None:
    """A service that owns nothing says who has to change it."""
    database.execute("delete from callfare.schema_migration where version = 171")
    with pytest.raises(SchemaMismatch, match="as the schema's owner"):
        migrate(service_url)
    database.execute("drop function callfare.make_month, callfare.lock_month, callfare.drop_month")
    migrate(database.info.dsn)


def test_an_owner_that_is_no_superuser_keeps_seeing_every_row(database: Database) -> None:
    """Policies are forced on it as well, and it has one of its own: what it changes and dumps is all there is."""
    owner = f"callfare_owner_test_{os.getpid()}"
    database.execute(f"create role {owner} login password 'secret' createrole")  # pyright: ignore[reportArgumentType]
    database.execute("alter schema callfare rename to callfare_of_somebody_else")
    url = make_conninfo(**(conninfo_to_dict(database.info.dsn) | {"user": owner, "password": "secret"}))
    try:
        database.execute(f"grant create on database {database.info.dbname} to {owner}")  # pyright: ignore[reportArgumentType]
        for role in ("callfare_reader", "callfare_reader_several", "callfare_reader_all", SERVICE):
            database.execute(f"grant {role} to {owner} with admin option")  # pyright: ignore[reportArgumentType]
        migrate(url)
        ledger = LedgerStore(url)
        ledger.commit([request(call("a", attribution=ACME), call("b", attribution=GLOBEX))], price_by_sum)
        ledger.close()
        with psycopg.connect(url) as connection:
            assert rows(connection, "select count(*) from callfare.record") == [(2,)]
            assert list(deep_check(connection, lambda _: None)) != []
    finally:
        database.execute("drop schema callfare cascade")
        database.execute("alter schema callfare_of_somebody_else rename to callfare")
        database.execute(f"drop owned by {owner} cascade")  # pyright: ignore[reportArgumentType]
        database.execute(f"drop role {owner}")  # pyright: ignore[reportArgumentType]
