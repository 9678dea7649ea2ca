"""What row-level security will stand on: a tenant in every table, and views that do not go around the policies."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cost_exporter.domain.attribution import Attribution
from cost_exporter.store.database.statements import statements
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import OTHER_TRACE, call, link, price_by_sum
from tests.store.requests import request, rows

Database = psycopg.Connection[Any]
ROOT = Path(__file__).parent.parent.parent
WITHOUT_TENANT = {
    # Of the service as a whole.
    *("bucket", "schema_migration", "token_ever", "margin_rule", "revenue_rule", "fee_rule"),
    *("price", "price_alias", "price_factor", "price_book_version", "outbox_given_up"),
    # Only the writer reads these: ids, hashes and words of spans by trace, and packed spans on their way out. No reader
    # has a grant.
    *("provider_call", "trace_join", "look_alike", "long_trace", "long_span", "outbox"),
}
"""Tables that need no tenant, and why. A new table has to be put here or have a `tenant_id`."""


def test_every_table_of_a_tenant_says_whose_it_is(database: Database) -> None:
    """A policy can be put on it without a join."""
    tables = rows(
        database,
        "select relname, exists (select from pg_attribute where attrelid = pg_class.oid and attname = 'tenant_id')"
        " from pg_class where relnamespace = 'callfare'::regnamespace and relkind in ('r', 'p') and not relispartition",
    )
    assert len(tables) > 20
    assert {name for name, has_tenant in tables if not has_tenant} <= WITHOUT_TENANT


def test_every_view_reads_with_the_rights_of_whoever_asks(database: Database) -> None:
    """`create or replace view` forgets the option: whoever replaces a view says it again."""
    views = rows(
        database,
        "select relname, coalesce('security_invoker=true' = any(reloptions), false) from pg_class"
        " where relnamespace = 'callfare'::regnamespace and relkind = 'v'",
    )
    assert len(views) > 10
    assert [name for name, is_invoker in views if not is_invoker] == []


def test_no_statement_names_a_partition() -> None:
    """Grants and policies are on the parent: a partition that is named has neither."""
    texts = statements().values()
    assert [text for text in texts if re.search(r"callfare\.record_\d", text)] == []


SHOWN = ("cost_record", "workflow_cost", "daily_cost", "hourly_cost", "spend_by", "usage_stats", "record_measure")


@pytest.fixture
def reader(database: Database) -> Iterator[str]:
    """A role as a reader of one tenant will have: rights on parents and views, and a policy on each table."""
    name = sql.Identifier(f"reader_of_{database.info.dbname}")
    database.execute(sql.SQL("create role {}").format(name))
    database.execute(sql.SQL("grant usage on schema callfare to {}").format(name))
    relations = rows(
        database,
        "select relname, relkind,"
        " exists (select from pg_attribute where attrelid = pg_class.oid and attname = 'tenant_id')"
        " from pg_class"
        " where relnamespace = 'callfare'::regnamespace and relkind in ('r', 'p', 'v') and not relispartition",
    )
    for relation, kind, has_tenant in relations:
        table = sql.Identifier("callfare", relation)
        database.execute(sql.SQL("grant select on {} to {}").format(table, name))
        if has_tenant and kind != "v":
            database.execute(sql.SQL("alter table {} enable row level security").format(table))
            policy = "create policy own on {} using (tenant_id = current_setting('callfare.tenant', true))"
            database.execute(sql.SQL(policy).format(table))
    yield name.as_string(database)
    database.execute(sql.SQL("drop owned by {}").format(name))
    database.execute(sql.SQL("drop role {}").format(name))


def test_a_reader_sees_one_tenant_through_every_view(
    ledger: LedgerStore, database: Database, database_url: str, reader: str
) -> None:
    """With the tenant set its rows and no others, without it none; the owner sees all."""
    said = Attribution(tenant="acme", workflow_name="support", user="ann")
    mine = [call("a", call_id="response:1"), link("root", parent=None, attribution=said)]
    other = call("c", trace=OTHER_TRACE, attribution=Attribution(tenant="globex", user="bob"))
    ledger.commit([request(*mine, other)], price_by_sum)
    with psycopg.connect(database_url, autocommit=True) as connection:
        for view in SHOWN:
            query = sql.SQL("select distinct tenant_id from {} order by 1").format(sql.Identifier("callfare", view))
            assert connection.execute(query).fetchall() == [("acme",), ("globex",)]
            connection.execute(sql.SQL("set role ") + sql.SQL(reader))  # pyright: ignore[reportArgumentType]
            assert connection.execute(query).fetchall() == []
            connection.execute("set callfare.tenant = 'acme'")
            assert connection.execute(query).fetchall() == [("acme",)]
            connection.execute("reset role")
            connection.execute("reset callfare.tenant")
