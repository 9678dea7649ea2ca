"""What row-level security stands on: a tenant in every table, and views that do not go around the policies."""

import re
from pathlib import Path
from typing import Any

import psycopg

from cost_exporter.store.database.statements import statements
from tests.store.requests import rows

Database = psycopg.Connection[Any]
ROOT = Path(__file__).parent.parent.parent
WITHOUT_TENANT = {
    # Of the service as a whole.
    *(
        "alert_judge",
        "export_target",
        "ledger_identity",
        "posthog_call",
        "posthog_place",
        "bucket",
        "schema_migration",
        "audit",
        "token",
        "token_ever",
        "web_session",
        "margin_rule",
        "rate",
        "revenue_rule",
        "fee_rule",
    ),
    *("price", "price_alias", "price_factor", "price_book_version", "outbox_given_up"),
    # Only the writer reads these: ids, hashes and words of spans by trace, and packed spans on their way out. No reader
    # has a grant.
    *("provider_call", "provider_call_old", "trace_join", "look_alike", "long_trace", "long_span", "outbox"),
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
