import re
from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any
from uuid import UUID

from starlette.testclient import TestClient

from cost_exporter.report.workflow import WorkflowReport
from cost_exporter.serve.page import start_page, workflow_page
from tests.support.stored import CHAT_COST_USD, EMBEDDING_COST_USD, OTHER_CALL, SUPPORT_CALL

TRACE = UUID(int=7)


def data(cost_usd: str, shown: str) -> str:
    return f'<data value="{cost_usd}">{shown}</data>'


def workflow(**changed: Any) -> dict[str, Any]:
    row = {
        "tenant_id": "acme",
        "trace_id": TRACE,
        "workflow_id": None,
        "workflow_name": "support-call",
        "state": "finalised",
        "started_at": datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
        "total_cost_usd": D("0.0045"),
        "unpriced_count": 1,
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
        "span_id": "0" * 16,
        "status": "no_usage",
        "cost_usd": None,
        "error_type": None,
        "issues": [],
        "lines": [],
        "started_at": datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
    }
    return row | changed


def without_markup(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("</style>")[2]).split())


def test_start_page_shows_what_came_last_with_its_legs(web: TestClient) -> None:
    """Each workflow with its link, its cost by leg and its total; one with an unknown cost says that it is a bound."""
    answer = web.get("/")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    links = re.findall(r'<a href="/workflows/([0-9a-f]{32})">([^<]*)</a>', answer.text)
    assert sorted(links) == [(SUPPORT_CALL.hex(), "support-call"), (OTHER_CALL.hex(), OTHER_CALL.hex())]
    text = without_markup(answer.text)
    assert f"llm ≥ ${CHAT_COST_USD} ≥ ${CHAT_COST_USD} 1 unpriced" in text
    assert f"llm ${EMBEDDING_COST_USD.normalize():f} ${EMBEDDING_COST_USD.normalize():f}" in text
    assert "<script" not in answer.text
    for trace_id, _ in links:
        assert web.get(f"/workflows/{trace_id}").status_code == 200


def test_start_page_without_the_database_is_503(web_without_database: TestClient) -> None:
    """As everything else, and no password is shown."""
    answer = web_without_database.get("/")
    assert answer.status_code == 503
    assert "geheim" not in answer.text


def test_start_page_says_what_to_do_while_there_is_nothing() -> None:
    """A newcomer who looks first finds the next step."""
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in start_page([], [])


def test_only_the_leg_with_something_unknown_is_a_lower_bound() -> None:
    """A leg whose every cost is known is exact, whatever is unknown beside it."""
    unpriced = {"trace_id": TRACE, "tenant_id": "acme", "leg": "llm", "unpriced_count": 1}
    elsewhere = {"trace_id": TRACE, "tenant_id": "globex", "leg": "stt", "unpriced_count": 1}
    page = start_page([workflow()], [unpriced, elsewhere])
    assert f"<li>llm ≥ {data('0.0029', '$0.0029')}</li>" in page
    assert f"<li>stt {data('0.0016', '$0.0016')}</li>" in page
    assert page.index("<li>llm") < page.index("<li>stt")


def test_names_are_escaped() -> None:
    """A workflow may be called anything, on either page."""
    row = workflow(workflow_name="<script>alert(1)</script>", tenant_id='"><b>')
    for page in (start_page([row], []), workflow_page([WorkflowReport.of(row, [])])):
        assert "<script" not in page
        assert "<b>" not in page


def test_parts_of_a_workflow_with_something_unknown_are_bounds() -> None:
    """Its leg and its category are lower bounds, as the total is; its profit is an upper one."""
    margin = {"revenue_usd": D(1), "fee_usd": D("0.33"), "profit_usd": D("0.6655")}
    spoken = record(operation="speech_to_text", provider="deepgram", status="priced", cost_usd=D("0.0016"))
    page = workflow_page([WorkflowReport.of(workflow(**margin), [record(), spoken])])
    assert f"<li>llm ≥ {data('0.0029', '$0.0029')}</li>" in page
    assert f"<li>stt {data('0.0016', '$0.0016')}</li>" in page
    assert f"<li>bot ≥ {data('0.0045', '$0.0045')}</li>" in page
    assert f"<li>profit ≤ {data('0.6655', '$0.6655')}</li>" in page
    assert f"<li>payment fee {data('0.33', '$0.33')}</li>" in page


def test_every_figure_of_the_table_is_exact_in_its_value() -> None:
    """Quantity, unit price and cost of a line, read by a program as by a person."""
    line = {"unit": "input_tokens", "quantity": "1024", "billed_quantity": "1024", "per": "1000000"}
    priced = line | {"unit_price": "0.075", "amount": "0.0000768", "price_id": "p"}
    page = workflow_page(
        [WorkflowReport.of(workflow(), [record(status="priced", cost_usd=D("0.0000768"), lines=[priced])])]
    )
    assert f'<td class="number">{data("1024", "1,024")}</td>' in page
    assert f'<td class="number">{data("0.075", "$0.075")} / 1M tokens</td>' in page
    assert f'<td class="number">{data("0.0000768", "$0.0000768")}</td>' in page
    assert not re.search(r"\$\d", re.sub(r"<data[^>]*>[^<]*</data>", "", page))


def test_a_trace_of_two_tenants_shows_both_and_their_sum() -> None:
    """Half of what it cost would look like all of it."""
    globex = workflow(tenant_id="globex", total_cost_usd=D("0.25"), unpriced_count=0)
    page = workflow_page([WorkflowReport.of(row, []) for row in (workflow(), globex)])
    assert f"2 tenants; together it cost ≥ {data('0.2545', '$0.2545')}" in page
    assert page.count("<section>") == 2
