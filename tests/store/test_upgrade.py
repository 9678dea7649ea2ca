"""A ledger that was filled before a migration says the same after it."""

from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from cost_exporter.domain.attribution import Attribution
from cost_exporter.store.database.migrate import migrate, migrations
from cost_exporter.store.database.split import split_statements
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import OTHER_TRACE, call, link, price_by_sum
from tests.store.requests import problems, request, rows

Database = psycopg.Connection[Any]


@pytest.mark.parametrize(
    ("versions", "tables"), [((50, 71), ["workflow_total"]), ((70,), ["hourly_rollup", "spend_rollup"])]
)
def test_sums_are_made_of_what_is_there(
    ledger: LedgerStore, database: Database, versions: tuple[int, ...], tables: list[str]
) -> None:
    """The statements of the migration that fill new tables, over records of before."""
    named = link("root", parent=None, attribution=Attribution(tenant="acme", workflow_name="support"))
    calls = [
        call("a", attribution=Attribution(user="ann", api_key="key-1")),
        call("b", call_id="r:1"),
        call("c", call_id="r:1"),
    ]
    other = link("r", parent=None, trace=OTHER_TRACE, attribution=Attribution(workflow_name="idle"))
    ledger.commit([request(named, *calls, other)], price_by_sum)
    steps = [each for each in migrations() if each.version in versions]
    filling: list[LiteralString] = [
        each for step in steps for each in split_statements(step.sql) if each.startswith(("insert into", "update"))
    ]
    assert filling
    for table in tables:
        database.execute(sql.SQL("delete from {}").format(sql.Identifier("callfare", table)))
    assert problems(database) != []
    for each in filling:
        database.execute(each)
    assert problems(database) == []


def test_history_becomes_part_of_the_journal(empty_database_url: str) -> None:
    """With its numbers in the order of before, its times and what it says."""
    migrate(empty_database_url, [each for each in migrations() if each.version < 52])
    with psycopg.connect(empty_database_url, autocommit=True) as database:
        database.execute(
            "insert into callfare.record_revision ("
            " recorded_at, namespace, trace_id, span_id, reason, content_hash, content) values"
            " ('2026-01-02 03:04:05Z', 'acme', gen_random_uuid(), 'fedcba9876543210', 'conflict', -5, '{\"a\": 1}'),"
            " ('2026-01-02 03:04:06Z', 'acme', gen_random_uuid(), '0000000000000001', 'rerate:7', 6, '{}')"
        )
        database.execute(
            "insert into callfare.amendment (namespace, tenant_id, trace_id, finalised_at, span_count, before_usd,"
            " after_usd, before_unpriced, after_unpriced)"
            " values ('acme', 'globex', gen_random_uuid(), '2026-01-01Z', 2, 0.5, 1.25, 3, 1)"
        )
        shown = {
            "record_revision": "to_jsonb(x) - 'revision_id'",
            "amendment": "to_jsonb(x) - 'amendment_id'",
        }
        queries = [
            f"select ({columns})::text from callfare.{table} as x order by 1" for table, columns in shown.items()
        ]
        before = [rows(database, query) for query in queries]
        assert migrate(empty_database_url) != []
        after = [rows(database, query) for query in queries]
    assert after == before
