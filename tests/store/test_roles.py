"""Row-level security: the roles that reading runs in see their tenants and nothing else, whatever is asked."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from cost_exporter.domain.attribution import Attribution
from cost_exporter.errors import StoreUnavailable
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.database.roles import ALL, ONE, SEVERAL, TenantLimits, problems_of_roles
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.reading import Period, Reader, ReaderPool
from tests.domain.builders import OTHER_TRACE, call, link, price_by_sum
from tests.store.requests import request, rows

Database = psycopg.Connection[Any]
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
SHOWN = ("cost_record", "workflow_cost", "daily_cost", "hourly_cost", "spend_by", "usage_stats", "record_measure")


@pytest.fixture
def filled(ledger: LedgerStore, database: Database) -> Database:
    """Calls of three tenants, acme's with a workflow."""
    named = Attribution(tenant="acme", workflow_name="support", user="ann")
    mine = [call("a", call_id="response:1"), link("root", parent=None, attribution=named)]
    other = call("c", trace=OTHER_TRACE, attribution=Attribution(tenant="globex", user="bob"))
    third = call("d", trace=UUID(int=77).bytes, attribution=Attribution(tenant="a,b}{'", user="eve"))
    ledger.commit([request(*mine, other, third)], price_by_sum)
    return database


def tenants_in(connection: Database, relation: str) -> list[str]:
    query = sql.SQL("select distinct tenant_id from {} order by 1").format(sql.Identifier("callfare", relation))
    return [tenant for (tenant,) in connection.execute(query).fetchall()]


@pytest.mark.parametrize(
    ("role", "tenant", "seen"),
    [
        (ONE, None, []),
        (ONE, "", []),
        (ONE, "acme", ["acme"]),
        (ONE, "a,b}{'", ["a,b}{'"]),
        (ONE, "{acme,globex}", []),
        (ONE, "*", []),
        (SEVERAL, None, []),
        (SEVERAL, "", []),
        (SEVERAL, "{}", []),
        (SEVERAL, "{acme,globex}", ["acme", "globex"]),
        (SEVERAL, "{globex}", ["globex"]),
        (ALL, None, ["a,b}{'", "acme", "globex"]),
    ],
)
def test_each_role_sees_its_tenants_through_every_view(
    filled: Database, role: str, tenant: str | None, seen: list[str]
) -> None:
    """Unset is no row, also after an earlier transaction on the same connection had set it."""
    with filled.transaction():
        filled.execute(
            "select set_config('callfare.tenant', '{acme,globex}', true), set_config('role', %s, true)", (ALL,)
        )
    with filled.transaction():
        filled.execute("select set_config('role', %s, true)", (role,))
        if tenant is not None:
            filled.execute("select set_config('callfare.tenant', %s, true)", (tenant,))
        for view in SHOWN:
            assert tenants_in(filled, view) == seen
    assert len(tenants_in(filled, "cost_record")) == 3, "the role ends with the transaction"


@pytest.mark.parametrize("role", [ONE, SEVERAL, ALL])
def test_a_reading_role_can_do_nothing_else(filled: Database, role: str) -> None:
    """It owns nothing, writes nothing, and reads neither tokens nor partitions nor what belongs to no tenant."""
    assert rows(filled, f"select rolsuper, rolbypassrls, rolcanlogin from pg_roles where rolname = '{role}'") == [
        (False, False, False)
    ]
    assert rows(filled, f"select count(*) from pg_class where relowner = '{role}'::regrole") == [(0,)]
    (partition,) = rows(filled, "select relname from pg_class where relispartition and relkind = 'r' limit 1")[0]
    refused = (
        "select * from callfare.token",
        "select * from callfare.price",
        "select * from callfare.provider_call",
        "select * from callfare.outbox",
        f"select * from callfare.{partition}",
        "update callfare.record set status = 0",
        "delete from callfare.daily_rollup",
        "create table callfare.mine (x integer)",
    )
    for each in refused:
        with filled.transaction(force_rollback=True):
            filled.execute("select set_config('role', %s, true)", (role,))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                filled.execute(each)  # pyright: ignore[reportArgumentType]


def test_every_table_of_a_tenant_has_its_policies(database: Database) -> None:
    """A table that a later migration brings is protected by the same run."""
    database.execute("create table callfare.later (tenant_id text not null, secret text)")
    url = database.info.dsn
    migrate(url)
    unprotected = rows(
        database,
        "select relname from pg_class where relnamespace = 'callfare'::regnamespace and relkind in ('r', 'p')"
        " and not relispartition"
        " and exists (select from pg_attribute where attrelid = pg_class.oid and attname = 'tenant_id')"
        " and (not relforcerowsecurity or (select count(*) from pg_policy where polrelid = pg_class.oid) <> 4)",
    )
    assert unprotected == []
    assert problems_of_roles(database) == []


@pytest.mark.parametrize(
    ("broken_by", "problem"),
    [
        ("alter table callfare.record disable row level security", "callfare.record can be read"),
        (f"drop policy {ONE} on callfare.daily_rollup", "callfare.daily_rollup can be read"),
        (f"alter table callfare.daily_rollup owner to {ONE}", "goes around row-level security"),
        (f"grant select on all tables in schema callfare to {ONE}", "_20"),
    ],
)
def test_a_role_that_could_see_more_is_found(filled: Database, broken_by: Any, problem: str) -> None:
    """Whatever somebody changed by hand: it is named, and `migrate` puts back what it made."""
    with filled.transaction(force_rollback=True):
        filled.execute(broken_by)
        assert any(problem in each for each in problems_of_roles(filled))
    assert problems_of_roles(filled) == []


@pytest.fixture
def readers(filled: Database) -> Iterator[ReaderPool]:
    pool = ReaderPool(filled.info.dsn)
    yield pool
    pool.close()


@pytest.mark.parametrize(
    ("tenants", "seen"),
    [
        (frozenset({"acme"}), {"acme"}),
        (frozenset({"acme", "globex"}), {"acme", "globex"}),
        (frozenset({"a,b}{'", "nobody"}), {"a,b}{'"}),
        (frozenset({"nobody"}), set()),
        (frozenset[str](), set()),
        (None, {"acme", "globex", "a,b}{'"}),
    ],
)
def test_a_reader_without_its_own_conditions_is_still_limited(
    readers: ReaderPool, tenants: frozenset[str] | None, seen: set[str]
) -> None:
    """The conditions in the statements are left out here, as by a mistake in a later one: the database limits."""
    with readers.lend_to(tenants) as reader:
        assert {row["tenant_id"] for row in reader.spend(Period.always(), ("tenant_id",))} == seen
        assert {row["tenant_id"] for row in reader.spend(Period.always(), ("tenant_id", "user_id"))} == seen
        assert {row["tenant_id"] for row in reader.top(Period.always(), limit=9)} == seen
        assert {row["tenant_id"] for row in reader.workflows(UUID(bytes=OTHER_TRACE))} == seen & {"globex"}
    with readers.lend() as reader:
        assert len(reader.top(Period.always(), limit=9)) == 3


def test_without_the_roles_several_tenants_are_refused(filled: Database) -> None:
    """The statements' own conditions are for one tenant; a token of several would see too much."""
    with filled.transaction(force_rollback=True):
        filled.execute(f"drop policy {ONE} on callfare.daily_rollup")
        limits = TenantLimits()
        with limits.only(filled, frozenset({"acme"})):
            assert len(tenants_in(filled, "daily_cost")) == 3
        with pytest.raises(StoreUnavailable, match="row-level security"), limits.only(filled, frozenset({"a", "b"})):
            pass


def test_a_role_that_vanishes_closes_reading(filled: Database) -> None:
    """Once it was relied on, its absence never means that everything is seen."""
    limits = TenantLimits()
    with limits.only(filled, frozenset({"acme"})):
        assert tenants_in(filled, "daily_cost") == ["acme"]
    with filled.transaction(force_rollback=True):
        filled.execute(f"alter role {ONE} rename to somebody_else")
        with pytest.raises(StoreUnavailable, match="callfare migrate"), limits.only(filled, frozenset({"acme"})):
            pass


class Explaining:
    """A connection that notes what each statement reads without an index, though it may not."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection
        self.scanned: list[set[str]] = []

    def execute(self, query: sql.Composable, parameters: Any, **options: Any) -> Any:
        explained = self._connection.execute(sql.SQL("explain (format json) ") + query, parameters).fetchone()
        self.scanned.append(set(scanned(explained["QUERY PLAN"][0]["Plan"])))
        return self._connection.execute(query, parameters, **options)


def scanned(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that a plan reads from end to end."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", []):
        yield from scanned(part)


def test_the_roles_leave_each_statement_its_indexes(filled: Database) -> None:
    """Planned as the owner and as a reader of one tenant: no statement of a report or a list loses its index."""
    period, now = Period(since=NOON - timedelta(days=30), until=NOON), NOON
    found: dict[str, list[set[str]]] = {}
    for role in ("none", ONE):
        with psycopg.connect(filled.info.dsn, row_factory=dict_row) as connection:
            connection.execute("set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off")
            settings = "select set_config('callfare.tenant', 'acme', true), set_config('role', %s, true)"
            connection.execute(settings, (role,))
            explaining = Explaining(connection)
            reader = Reader(cast("Any", explaining))
            reader.workflows(UUID(bytes=OTHER_TRACE), "acme")
            reader.records(UUID(bytes=OTHER_TRACE), "acme")
            reader.usage_stats(UUID(bytes=OTHER_TRACE), "acme")
            reader.top(period, limit=5, tenant="acme")
            reader.latest(now=now, count=5, tenant="acme")
            reader.spend(period, ("day", "model"), "acme")
            reader.spend(period, ("user_id",), "acme")
            reader.unread(period, count=5, tenant="acme")
            found[role] = explaining.scanned
    assert len(found[ONE]) > 8
    for plain, limited in zip(found["none"], found[ONE], strict=True):
        assert limited <= plain
