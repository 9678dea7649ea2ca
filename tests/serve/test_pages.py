"""The pages as text: what they show, that every figure is exact, and that no name becomes markup."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any
from uuid import UUID

import psycopg
import pytest
from starlette.testclient import TestClient

from cost_exporter.domain.alerting import Alert, Receiver
from cost_exporter.domain.pricing.book import PriceBook
from cost_exporter.report.workflow import WorkflowReport
from cost_exporter.serve.metrics import ServiceMetrics
from cost_exporter.serve.pages.render import NAVIGATION, page
from cost_exporter.serve.pages.workflow import workflow_content
from cost_exporter.serve.pages.workflows import listed_rows
from cost_exporter.settings.budget_rule import BudgetRule
from cost_exporter.store.alerts.making import make_alert
from cost_exporter.store.budgets.definitions import put_budget
from cost_exporter.store.budgets.rules import spec_of
from tests.serve.conftest import client
from tests.support.stored import (
    CHAT_COST_USD,
    EMBEDDING_COST_USD,
    OTHER_CALL,
    SUPPORT_CALL,
    as_url,
    filling,
    running_service,
    send,
)

TRACE = UUID(int=7)
PATHS = [path for path, _ in NAVIGATION if path != "/docs"]
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def empty_web(database_url: str, metrics: ServiceMetrics) -> Iterator[TestClient]:
    """The web application on an empty database."""
    yield from client(database_url, metrics)


def data(cost_usd: str, shown: str) -> str:
    return f'<data value="{cost_usd}">{shown}</data>'


def workflow(**changed: Any) -> dict[str, Any]:
    row = {
        "tenant_id": "acme",
        "trace_id": TRACE,
        "workflow_id": TRACE.hex,
        "workflow_name": "support-call",
        "state": "finalised",
        "outcome": "completed",
        "started_at": datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
        "ended_at": datetime(2026, 11, 22, 9, 31, tzinfo=UTC),
        "total_cost_usd": D("0.0045"),
        "unpriced_count": 1,
        "request_count": 2,
        "revenue_usd": None,
        "fee_usd": None,
        "profit_usd": None,
        "by_leg": {"stt": "0.0016", "llm": "0.0029"},
        "by_category": {"bot": "0.0045"},
    }
    return row | changed


def record(**changed: Any) -> dict[str, Any]:
    row = {
        "operation": "chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "category": "bot",
        "tenant_id": "acme",
        "span_id": "0" * 16,
        "status": "no_usage",
        "cost_usd": None,
        "error_type": None,
        "book_version": "",
        "usage": {},
        "issues": [],
        "lines": [],
        "duplicate_of": None,
        "duration_seconds": D("1.5"),
        "started_at": datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
    }
    return row | changed


def shown(*reports: WorkflowReport, jaeger_url: str | None = None) -> str:
    content = workflow_content(list(reports), PriceBook.of([]), jaeger_url)
    return bytes(page("workflow.html", "/workflows", content).body).decode()


def words_of(text: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@pytest.mark.parametrize("path", [*PATHS, f"/workflows/{SUPPORT_CALL.hex()}"])
def test_every_page_is_whole_without_a_script_and_exact(web: TestClient, path: str) -> None:
    """No script, no style in the markup, and each figure is in a `data` element."""
    answer = web.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'; style-src 'self';" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "style=" not in answer.text
    without_figures = re.sub(r"<data[^>]*>[^<]*</data>|<title>[^<]*</title>|<span>\$0</span>", "", answer.text)
    without_figures = re.sub(r"<pre class=\"explain\">.*?</pre>|title=\"[^\"]*\"", "", without_figures, flags=re.DOTALL)
    assert re.findall(r"\$\d[^<]*", without_figures) == []
    assert "UTC" in answer.text
    assert len(answer.content) <= 60_000


def test_overview_shows_what_was_spent_and_what_came_last(web: TestClient) -> None:
    """Totals with their bound, by leg, and a link to each workflow."""
    text = web.get("/").text
    links = set(re.findall(r'<a href="/workflows/([0-9a-f]{32})">', text))
    assert links == {SUPPORT_CALL.hex(), OTHER_CALL.hex()}
    total = CHAT_COST_USD + EMBEDDING_COST_USD
    assert f'≥</span> <data value="{total}">' in text
    assert "Unpriced calls 1 of 3 in 30 days" in words_of(text)
    assert "Forecast for the month - from the third full day on" in words_of(text)
    assert "1 unpriced" in words_of(text)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("/workflows", "Choose an earlier start"),
        ("/workflows?tenant=acme", "remove all filters"),
        ("/spend", "Choose another period"),
        ("/budgets", "There is no budget yet"),
        ("/unpriced", "Every cost is known"),
        ("/unread", "Everything was read"),
        ("/reconciled", "Nothing was compared yet"),
        ("/prices?q=no+such+price", "Write fewer words"),
    ],
)
def test_an_empty_page_says_what_to_do(empty_web: TestClient, path: str, says: str) -> None:
    """A newcomer who looks first finds the next step; who filtered too much finds the way back."""
    answer = empty_web.get(path)
    assert answer.status_code == 200
    assert says in answer.text


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        (f"/workflows/{'f' * 32}", 404, "no such page"),
        ("/no/such/page", 404, "no such page"),
        ("/spend?by=colour", 400, "choose from day, tenant"),
        ("/spend?start_date=2026-02-02&end_date=2026-02-01", 400, "start_date must be before end_date"),
        ("/workflows?cursor=abc", 400, "next_cursor"),
        ("/workflows?tenant=%00", 400, "NUL"),
        ("/prices?offset=x", 400, "offset"),
        ("/unpriced?start_date=0000", 400, "YYYY-MM-DD"),
    ],
)
def test_an_error_is_a_page_for_people_and_json_for_programs(
    web: TestClient, path: str, status: int, says: str
) -> None:
    """The same status and sentence in both."""
    answer = web.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert says in words_of(answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert web.get(path).json()["success"] is False


def test_a_database_that_is_away_is_a_page_that_says_so(web_without_database: TestClient) -> None:
    """With a time to come back, and without the password."""
    for path in PATHS:
        if path == "/prices":  # the book is in memory
            continue
        answer = web_without_database.get(path, headers=BROWSER)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "The database does not answer" in answer.text
        assert "geheim" not in answer.text


@pytest.mark.parametrize("name", ["x" * 10_000, "\u202egnp.exe", "../..", "<script>alert(1)</script>", '"><u>'])
def test_odd_names_are_shown_safely(web: TestClient, name: str) -> None:
    """In the fields of a filter and as the name of a workflow, a tenant or a model."""
    for path in ("/workflows?q=", "/workflows?tenant=", "/spend?tenant=", "/unpriced?tenant=", "/prices?q="):
        answer = web.get(path.partition("?")[0], params={path.partition("?")[2].rstrip("="): name}, headers=BROWSER)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "\u202e" not in answer.text
    row = workflow(workflow_name=name, tenant_id=name)
    text = shown(WorkflowReport.of(row, [record(model=name, provider=name, issues=[name])]))
    assert "<script>alert" not in text
    assert "<u>" not in text
    assert "\u202e" not in text


def test_parts_of_a_workflow_with_something_unknown_are_bounds() -> None:
    """Its leg and its category are lower bounds, as the total is; its profit is an upper one."""
    margin = {"revenue_usd": D(1), "fee_usd": D("0.33"), "profit_usd": D("0.6655")}
    spoken = record(operation="speech_to_text", provider="deepgram", status="priced", cost_usd=D("0.0016"))
    text = shown(WorkflowReport.of(workflow(**margin), [record(), spoken]))
    words = words_of(text)
    assert "Language models ≥ $0.0029" in words
    assert "Speech recognition $0.0016" in words
    assert "bot ≥ $0.0045" in words
    assert "Profit ≤ $0.6655 revenue $1.00 , payment fee $0.33" in words
    assert data("0.6655", "$0.6655") in text
    assert text.index("Language models <b>") < text.index("Speech recognition <b>")


def test_every_figure_of_a_call_is_exact_in_its_value() -> None:
    """Quantity, unit price and cost of a line, read by a program as by a person; used and billed differ in words."""
    line = {"unit": "call_seconds", "quantity": "135", "billed_quantity": "180", "per": "60"}
    priced = line | {"unit_price": "0.0085", "amount": "0.0255", "price_id": "p"}
    call = record(operation="phone_call", status="priced", cost_usd=D("0.0255"), lines=[priced])
    text = shown(WorkflowReport.of(workflow(), [call]))
    assert f"{data('135', '135')} billed as {data('180', '180')} call seconds" in text
    assert f"{data('0.0085', '$0.0085')} / min" in text
    assert data("0.0255", "$0.0255") in text


def test_a_trace_of_two_tenants_shows_both_and_their_sum() -> None:
    """Half of what it cost would look like all of it."""
    globex = workflow(tenant_id="globex", total_cost_usd=D("0.25"), unpriced_count=0)
    text = shown(*(WorkflowReport.of(row, []) for row in (workflow(), globex)))
    assert "2 tenants; together it cost ≥ $0.2545" in words_of(text)
    assert text.count('<section class="workflow">') == 2


def test_duplicates_are_folded_and_explained() -> None:
    """What another span is billed for is listed below, with the span that is."""
    duplicate = record(status="duplicate", duplicate_of="b" * 16, span_id="c" * 16)
    text = shown(WorkflowReport.of(workflow(), [record(), duplicate]), jaeger_url="http://jaeger:16686/")
    assert "1 spans report a call" in text
    assert f"duplicate of {'b' * 16}" in text
    assert f'href="http://jaeger:16686/trace/{TRACE.hex}"' in text


def test_a_column_of_costs_has_the_same_places_in_every_row() -> None:
    """The smallest amount shows two digits, and what is unknown is a dash."""
    costs = ["1.5", "0.0123", "12"]
    rows = listed_rows([workflow(total_cost_usd=D(cost), unpriced_count=0) for cost in costs])
    assert [words_of(str(row["cost"])) for row in rows] == ["$1.500", "$0.012", "$12.000"]
    (unknown,) = listed_rows([workflow(total_cost_usd=D(0), unpriced_count=2)])
    assert "-" in words_of(str(unknown["cost"]))
    assert "$" not in str(unknown["cost"])


def test_a_budget_shows_what_is_spent_and_left(empty_web: TestClient, database_url: str) -> None:
    """With its window, its kind, and when it begins again; the name is text."""
    add_budget(database_url)
    text = empty_web.get("/budgets").text
    assert "&lt;b&gt;day" in text
    assert data("5", "$5.00") in text
    assert "calls: all · refuses calls" in words_of(text)


def test_the_overview_begins_with_the_budget_that_is_used_most(empty_web: TestClient, database_url: str) -> None:
    """What is spent is the ledger's, and a call without a cost makes it a lower bound."""
    with running_service(as_url(database_url)) as addresses:
        send(addresses["grpc"], filling(time.time_ns()))
    add_budget(database_url, name="wide", window="total")
    add_budget(database_url, name="tight", window="total", limit_usd="0.001")
    text = empty_web.get("/").text
    assert text.index("tight") < text.index("wide")
    assert f'value="{CHAT_COST_USD}"' in text[text.index("tight") :]
    assert '<a href="/budgets">' in text


def test_alerts_show_with_what_became_of_them(empty_web: TestClient, database_url: str) -> None:
    """What a message said, and whether it was taken; names are text."""
    assert "None yet" in empty_web.get("/budgets").text
    facts = {"tenant": "acme", "provider": "openai", "model": "<b>gpt", "day": "2026-11-30", "unpriced_count": 3}
    at = datetime(2026, 11, 30, tzinfo=UTC)
    with psycopg.connect(database_url) as connection:
        alert = Alert(kind="unpriced", tenant="acme", scope="openai/gpt", window_start=at, facts=facts)
        assert make_alert(connection, alert, [Receiver(name="ops", kinds=frozenset({"unpriced"}))])
        connection.execute(
            "update callfare.alert_delivery set state = 'given_up', ended_at = now(), last_error = 'HTTP 500'"
        )
    text = empty_web.get("/budgets").text
    assert "No price for &lt;b&gt;gpt of openai" in text
    assert "acme, on 2026-11-30 (UTC): 3 calls of unknown cost." in text
    assert "ops: dropped after 0 attempts (HTTP 500)" in text
    assert 'href="/unpriced"' in text


def add_budget(database_url: str, **changed: str) -> None:
    """Set one, of five dollars a day."""
    with psycopg.connect(database_url) as connection:
        rule = {"name": "<b>day", "tenant": "acme", "window": "day", "limit_usd": "5", "hard": True} | changed
        put_budget(connection, spec_of(BudgetRule.model_validate(rule)))
