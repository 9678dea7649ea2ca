import re
from decimal import Decimal as D

import pytest
from starlette.testclient import TestClient

from tests.support.stored import CHAT_COST_USD, EMBEDDING_COST_USD, OTHER_CALL, SUPPORT_CALL


def test_health_and_readiness(web: TestClient) -> None:
    """With a database behind it the service is alive and ready."""
    assert web.get("/healthz").status_code == 200
    assert web.get("/readyz").status_code == 200


def test_without_database_it_lives_but_is_not_ready(web_without_database: TestClient) -> None:
    """A database that is away is 503 with a time to come back, and no password; the process itself is healthy."""
    assert web_without_database.get("/healthz").status_code == 200
    answer = web_without_database.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["error"]["code"] == "database_unavailable"
    assert "geheim" not in answer.text
    assert web_without_database.get("/metrics").status_code == 200


@pytest.mark.parametrize("written", [SUPPORT_CALL.hex(), "0af76519-16cd-43dd-8448-eb211c80319c"])
def test_workflow_cost_is_what_the_records_say(web: TestClient, written: str) -> None:
    """The cost of a workflow comes in the envelope, money as strings, with its records."""
    body = web.get(f"/v1/workflows/{written}/cost").json()
    assert body["success"]
    assert body["meta"] == {"currency": "USD"}
    assert D(body["data"]["total_cost_usd"]) == CHAT_COST_USD
    assert body["data"]["unpriced_count"] == 1
    assert len(body["data"]["records"]) == 2
    assert web.get("/v1/costs", params={"workflow_id": written}).json() == body


def test_usage_stats_have_their_categories(web: TestClient) -> None:
    """The statistics name each category's cost, the tokens and the models."""
    stats = web.get(f"/v1/usage-stats/{SUPPORT_CALL.hex()}").json()["data"]["usage_stats"]
    assert D(stats["bot_cost_usd"]) == D(stats["total_cost_usd"]) == CHAT_COST_USD
    assert (stats["llm_calls"], stats["unpriced_count"], stats["total_tokens"]) == (2, 1, 1_234 + 87 + 20)


def test_costs_of_a_period_add_up(web: TestClient) -> None:
    """Groups, days and total are the same money; the average is over the days that have begun."""
    data = web.get("/v1/costs", params={"group_by": "tenant"}).json()["data"]
    assert D(data["total_cost_usd"]) == CHAT_COST_USD + EMBEDDING_COST_USD
    assert [group["tenant_id"] for group in data["groups"]] == ["acme", "beta"]
    assert sum(D(day["cost_usd"]) for day in data["daily_breakdown"]) == D(data["total_cost_usd"])
    assert D(data["average_daily_cost"]) == ((CHAT_COST_USD + EMBEDDING_COST_USD) / 30).quantize(D("1e-12"))
    assert web.get("/v1/costs", params={"tenant": "beta"}).json()["data"]["total_cost_usd"] == "0.00004"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/v1/workflows/{'f' * 32}/cost", 404),
        ("/v1/workflows/not-a-trace/cost", 404),
        (f"/v1/usage-stats/{'f' * 32}", 404),
        ("/v1/no-such-thing", 404),
        ("/v1/costs?start_date=yesterday", 400),
        ("/v1/costs?start_date=2026-02-01&end_date=2026-02-01", 400),
        ("/v1/costs?group_by=color", 400),
        ("/v1/costs?end_date=0001-01-01", 400),
        ("/v1/costs?tenant=%00", 400),
        (f"/workflows/{'f' * 32}", 404),
    ],
)
def test_errors_come_in_the_envelope(web: TestClient, path: str, status: int) -> None:
    """What is not there is 404, what cannot be read is 400, both with a code and a message."""
    answer = web.get(path)
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert set(answer.json()["error"]) == {"code", "message"}


def test_page_escapes_what_spans_say_and_lets_no_script_run(web: TestClient) -> None:
    """Every figure of the page is exact in its `value`, and a content security policy forbids scripts."""
    answer = web.get(f"/workflows/{SUPPORT_CALL.hex()}")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert '<data value="0.0001605">$0.0001605</data>' in answer.text
    assert "1 unpriced" in answer.text
    assert "<script" not in answer.text
    assert not re.search(r"\$\d", re.sub(r"<data[^>]*>[^<]*</data>|title=\"[^\"]*\"", "", answer.text))


def test_other_workflow_has_its_own_cost(web: TestClient) -> None:
    """Workflows do not mix."""
    body = web.get(f"/v1/workflows/{OTHER_CALL.hex()}/cost").json()
    assert D(body["data"]["total_cost_usd"]) == EMBEDDING_COST_USD
