"""What is not known has no figure in the database: costs, fees, and what follows from them."""

from decimal import Decimal as D
from typing import Any, get_args

import psycopg
import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.quote import Quote, Status, is_unpriced
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.rules import sync_rules
from tests.domain.builders import TRACE, call, link, price_by_sum
from tests.store.requests import request, rows

Database = psycopg.Connection[Any]
COST = D("0.000001") * (1200 + 345)
UNPRICED = Quote(amount_usd=None, status="unpriced")


def price_known_models(usage: UsageRecord) -> Quote:
    return UNPRICED if usage.model == "new" else price_by_sum(usage)


def test_groups_of_which_nothing_is_priced_have_no_cost(ledger: LedgerStore, database: Database) -> None:
    """Null by day, by leg and by category; the known part where something is priced; 0 only for what is free."""
    unknown = call("a", model="new", operation="text_to_speech", attribution=Attribution(category="insights"))
    ledger.commit([request(call("b"), call("c", model="new"), unknown)], price_known_models)
    costs = dict(rows(database, "select model || operation, cost_usd from callfare.daily_cost"))
    assert costs == {"gpt-4o-minichat": COST, "newchat": None, "newtext_to_speech": None}
    ((by_leg, by_category, total_usd),) = rows(
        database, "select by_leg, by_category, total_cost_usd from callfare.workflow_cost"
    )
    assert by_leg == {"llm": str(COST.normalize()), "tts": None}
    assert by_category == {"uncategorised": str(COST.normalize()), "insights": None}
    assert total_usd == COST
    ((stats,),) = rows(database, "select usage_stats from callfare.usage_stats")
    assert stats["insights_cost_usd"] is None


@pytest.mark.parametrize("status", get_args(Status))
def test_what_counts_as_unpriced_is_one_rule(database: Database, status: str) -> None:
    """The database judges each status as the domain does."""
    view = "select pg_get_viewdef('callfare.record_measure'::regclass)"
    assert "unpriced_count" in rows(database, view)[0][0]
    insert = (
        "insert into callfare.record (bucket, namespace, trace_id, span_id, tenant_id, category, leg, operation,"
        " provider, model, started_at, started_ns, duration_ns, received_at, status, cost_usd, content_hash,"
        " book_version, usage, fact) values (%s, 'default', gen_random_uuid(), 1, 't', 'c', 'llm', 'chat', 'p', 'm',"
        " now(), 0, 0, now(), %s, %s, 0, '', '{}', '{}')"
    )
    has_cost = status in {"priced", "reported", "estimated", "partial"}
    with database.transaction(force_rollback=True):
        database.execute("create table callfare.record_test partition of callfare.record for values in ('2001-01-01')")
        database.execute(insert, ("2001-01-01", status, D(1) if has_cost else None))
        assert rows(database, "select unpriced_count from callfare.record_measure") == [
            (int(is_unpriced(status)),)  # pyright: ignore[reportArgumentType]
        ]


def test_the_workflow_id_is_the_trace_id_where_nothing_else_is_said(ledger: LedgerStore, database: Database) -> None:
    """And the application's own id where there is one."""
    own = link("root", parent=None, trace=b"u" * 16, attribution=Attribution(workflow_id="order-7"))
    ledger.commit([request(call("a")), request(own, call("b", trace=b"u" * 16))], price_by_sum)
    found = dict(rows(database, "select trace_id::text, workflow_id from callfare.workflow_cost"))
    assert set(found.values()) == {TRACE.hex(), "order-7"}


class Rule:
    """A rule of the configuration file."""

    workflow, outcome, amount, percent, fixed = "support", None, D("4.99"), D("2.9"), D("0.30")

    def __init__(self, **changed: Any) -> None:
        self.__dict__.update(changed)


FEE = D("4.99") * D("0.029") + D("0.30")
BY_SPAN = D("7.5")


@pytest.mark.parametrize(
    ("has_failed", "keeps", "revenue", "fees", "span_usd", "expected"),
    [
        # A fee without a rule is not known; what is left is at most revenue less cost.
        (False, False, [Rule()], [], None, (D("4.99"), None, D("4.99") - COST)),
        (False, False, [Rule()], [Rule()], None, (D("4.99"), FEE, D("4.99") - FEE - COST)),
        (False, False, [], [Rule()], None, (None, None, None)),
        # Revenue is earned by completion.
        (True, False, [Rule()], [Rule()], None, (D(0), D(0), -COST)),
        (True, False, [], [Rule()], BY_SPAN, (D(0), D(0), -COST)),
        (True, False, [Rule(outcome="completed")], [Rule()], None, (D(0), D(0), -COST)),
        (True, False, [], [], None, (None, None, None)),
        (True, True, [Rule()], [Rule()], None, (D("4.99"), FEE, D("4.99") - FEE - COST)),
        (True, True, [], [], BY_SPAN, (BY_SPAN, None, BY_SPAN - COST)),
        (True, True, [Rule(outcome="completed")], [Rule()], None, (None, None, None)),
        # A rule for failing says that failing is paid for.
        (True, False, [Rule(), Rule(outcome="failed")], [Rule()], None, (D("4.99"), FEE, D("4.99") - FEE - COST)),
    ],
)
def test_what_a_workflow_earns(
    ledger: LedgerStore,
    database: Database,
    *,
    has_failed: bool,
    keeps: bool,
    revenue: list[Any],
    fees: list[Any],
    span_usd: D | None,
    expected: tuple[D | None, ...],
) -> None:
    """Revenue, fee and profit of a workflow, exact, or null where they are not known."""
    sync_rules(database, revenue, fees, earns_when_failed=keeps)
    attribution = Attribution(workflow_name="support", revenue_amount=None if span_usd is None else str(span_usd))
    attribution = attribution._replace(outcome="failed" if has_failed else None)
    ledger.commit([request(link("root", parent=None, attribution=attribution), call("a"))], price_by_sum)
    assert rows(database, "select revenue_usd, fee_usd, profit_usd from callfare.workflow_cost") == [expected]
