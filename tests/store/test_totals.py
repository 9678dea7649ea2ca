"""The stored total of each workflow: one row a tenant, exact at every commit, and found by an index."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from cost_exporter.domain.attribution import Attribution
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.reading import Period
from tests.domain.builders import OTHER_TRACE, call, link, price_by_sum
from tests.store.requests import problems, request, rows
from tests.support.stored import new_database

Database = psycopg.Connection[Any]
TOTAL = "select tenant_id, cost_usd, request_count, duplicate_count from callfare.workflow_total order by 1, 3"


def test_a_total_moves_with_whoever_pays(ledger: LedgerStore, database: Database) -> None:
    """A root that comes last takes the calls to its tenant; the row left behind shows nothing."""
    ledger.commit([request(call("a"), call("b", trace=OTHER_TRACE))], price_by_sum)
    ledger.commit([request(link("root", parent=None, attribution=Attribution(tenant="acme")))], price_by_sum)
    assert [row[:1] + row[2:] for row in rows(database, TOTAL)] == [
        ("acme", 1, 0),
        ("default", 0, 0),
        ("default", 1, 0),
    ]
    shown = "select tenant_id, request_count, total_cost_usd = 0 from callfare.workflow_cost order by 1"
    assert rows(database, shown) == [("acme", 1, False), ("default", 1, False)]
    assert problems(database) == []


def test_a_workflow_that_earns_and_makes_no_call_is_shown_with_its_own_tenant(
    ledger: LedgerStore, database: Database
) -> None:
    """Its calls are on another account; revenue stands on its own."""
    attribution = Attribution(tenant="acme", workflow_name="support", revenue_amount="4.99", revenue_currency="USD")
    other = call("a", parent="root", attribution=Attribution(tenant="globex"))
    ledger.commit([request(other, link("root", parent=None, attribution=attribution))], price_by_sum)
    shown = "select tenant_id, request_count, revenue_usd is not null from callfare.workflow_cost order by 1"
    assert rows(database, shown) == [("acme", 0, True), ("globex", 1, False)]
    assert problems(database) == []


def test_an_earlier_span_moves_the_start_of_every_tenant(ledger: LedgerStore, database: Database) -> None:
    """Lists are cut by the start of the workflow and sorted by its length; a span that comes late may move both."""
    both = [call("a", start_ms=500), call("b", start_ms=600, attribution=Attribution(tenant="acme"))]
    ledger.commit([request(*both)], price_by_sum)
    ledger.commit([request(call("c", start_ms=-5_000))], price_by_sum)
    assert rows(database, "select count(*), count(distinct started_at) from callfare.workflow_total") == [(2, 1)]
    assert problems(database) == []


@pytest.mark.parametrize(
    "fault",
    [
        "update callfare.workflow_total set cost_usd = cost_usd + 1e-12",
        "update callfare.workflow_total set total_tokens = total_tokens + 1",
        "update callfare.workflow_total set duplicate_count = 1",
        "update callfare.workflow_total set started_at = started_at - interval '1 second'",
        "update callfare.workflow_total set ended_at = ended_at + interval '1 second'",
        "delete from callfare.workflow_total where tenant_id = 'default'",
        "delete from callfare.workflow_total where tenant_id = 'acme'",
        "insert into callfare.workflow_total values (gen_random_uuid(), 'x', 'x', null, 1, 0, 0, 0, 0, 0)",
    ],
)
def test_a_total_that_is_not_the_sum_is_found(ledger: LedgerStore, database: Database, fault: LiteralString) -> None:
    """Each of its columns, a row that is missing and one that should not be."""
    named = link("root", parent=None, attribution=Attribution(tenant="acme", workflow_name="support"))
    ledger.commit([request(named, call("a", attribution=Attribution(tenant="default")))], price_by_sum)
    assert problems(database) == []
    with database.transaction(force_rollback=True):
        database.execute(fault)
        assert {row[0] for row in problems(database)} == {"workflow_total"}


# ------------------------------------------------------------------------------------------------------- the lists

MANY = """
insert into callfare.trace (
  trace_id, namespace, bucket, is_tenant_trusted, tenant_id, state, started_at, record_count, last_received_at)
select md5(n::text)::uuid, 'default', '2026-09-01', true, 'tenant' || n %% 7, 'completed',
  timestamptz '2026-09-01' + n * interval '1 minute', 0, now()
from generate_series(1, %(count)s) as n
"""
TOTALS = """
insert into callfare.workflow_total (
  trace_id, namespace, tenant_id, started_at, ended_at, cost_usd, request_count, unpriced_count, duplicate_count,
  llm_calls, total_tokens)
select trace_id, namespace, tenant_id, started_at, started_at + random() * interval '1 hour',
  (hashtext(trace_id::text) & 65535) * 0.0001, 1, (random() < 0.2)::int, 0, 1, 5
from callfare.trace
"""
WEEK = {"since": datetime(2026, 9, 5, tzinfo=UTC), "until": datetime(2026, 9, 12, tzinfo=UTC)}
ALWAYS = {"since": Period.always().since, "until": Period.always().until}
LISTS: dict[str, tuple[str, dict[str, Any]]] = {
    "dearest of all": ("top_by_cost", ALWAYS | {"tenant": None}),
    "dearest of one": ("top_by_cost", ALWAYS | {"tenant": "tenant3"}),
    "dearest of a week": ("top_by_cost", WEEK | {"tenant": None}),
    "longest of all": ("top_by_duration", ALWAYS | {"tenant": None}),
    "longest of one": ("top_by_duration", ALWAYS | {"tenant": "tenant3"}),
    "most unpriced": ("top_by_unpriced", ALWAYS | {"tenant": None}),
    "latest": ("latest_workflows", {"since": WEEK["until"], "tenant": None}),
    "latest of one": ("latest_workflows", {"since": WEEK["since"], "tenant": "tenant3"}),
}


@pytest.fixture(scope="module")
def many(postgres_url: str, template_database: str) -> Iterator[Database]:
    """20,000 workflows of seven tenants over a fortnight, which the lists share; they have no records."""
    with (
        new_database(postgres_url, "callfare_many_workflows", template=template_database) as url,
        psycopg.connect(url, autocommit=True) as database,
    ):
        database.execute(MANY, {"count": 20_000})
        database.execute(TOTALS)
        database.execute("vacuum analyze callfare.trace, callfare.workflow_total")
        yield database


@pytest.mark.parametrize("name", LISTS)
def test_a_list_reads_about_as_many_rows_as_it_shows(many: Database, name: str) -> None:
    """Whatever there is in the table: the rest is sorted by the index, and sums are made of the rows shown alone."""
    query, parameters = LISTS[name]
    explained = sql.SQL("explain (analyze, format json, timing off) ") + sql.SQL(statement(query))
    ((found,),) = many.execute(explained, parameters | {"count": 20, "limit": 20}).fetchall()
    nodes = list(_nodes(found[0]["Plan"]))
    reads = {node["Node Type"] for node in nodes if node.get("Relation Name") == "workflow_total"}
    assert reads <= {"Index Scan", "Index Only Scan"}
    read = sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in nodes if "Relation Name" in node)
    assert read < 400, json.dumps(found)
    sums = [node["Actual Loops"] for node in nodes if node.get("Relation Name") == "workflow_rollup"]
    assert sums
    assert max(sums) <= 20


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)
