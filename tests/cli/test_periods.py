"""`callfare period`: close a month, see what corrections added, open it again; all of it audited, also over the API."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cost_exporter.serve.metrics import ServiceMetrics
from tests.cli.running import run_command
from tests.cli.test_rerate import PRICES, STARTED_AT_UNIX_NS
from tests.serve.conftest import client
from tests.support.stored import CHAT_COST_USD, EMBEDDING_COST_USD, as_url, filling, running_service, send

TOTAL = CHAT_COST_USD + EMBEDDING_COST_USD


@pytest.fixture
def url(database_url: str) -> str:
    """A database with calls of September 2026: one of acme has no price."""
    url = as_url(database_url)
    with running_service(url) as addresses:
        send(addresses["grpc"], filling(STARTED_AT_UNIX_NS))
    return url


@pytest.fixture
def callfare(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on that database."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", url)
    return lambda *arguments: run_command(capsys, *arguments)


def test_a_month_is_closed_corrected_and_reopened(callfare: Any, url: str, tmp_path: Path) -> None:
    """The figures stay those of the close, a re-rating is a correction, and each step is in the audit log."""
    assert callfare("period", "list", "--json").json == {"periods": []}
    closed = callfare("period", "close", "2026-09")
    assert closed.exit_code == 0, closed.err
    assert closed.out == f"2026-09 is closed for every tenant: ≥ ${TOTAL.normalize()} (1 unpriced)\n"
    assert "not final yet" in closed.err
    (tmp_path / "prices.yaml").write_text(PRICES)
    callfare("prices", "load", str(tmp_path / "prices.yaml"))
    assert callfare("rerate", "--since", "2026-01-01", "--until", "2027-01-01", "--apply").exit_code == 0
    rows = callfare("period", "list", "--json").json["periods"]
    by_tenant = {row["tenant_id"]: row for row in rows}
    assert {row["closed_for"] for row in rows} == {"*"}
    corrected = [row for row in rows if row["correction_count"]]
    assert [(row["correction_usd"], row["correction_count"]) for row in corrected] == [("0.00002", 1)]
    assert by_tenant["acme"]["closed_unpriced_count"] == 1
    assert "Closed periods" in callfare("period", "list").out
    assert callfare("verify").exit_code == 0
    for web in client(url, ServiceMetrics()):
        check_api(web, rows)
    assert callfare("period", "reopen", "2026-09").out == "2026-09 is open again for every tenant\n"
    assert all(row["reopened_at"] for row in callfare("period", "list", "--json").json["periods"])
    audited = callfare("audit", "list", "--json").json["changes"]
    assert [each["action"] for each in audited if each["subject"] == "2026-09-01"] == [
        "period changed",
        "period created",
    ]


def check_api(web: TestClient, rows: list[dict[str, Any]]) -> None:
    assert web.get("/v1/periods").json()["data"]["periods"] == rows
    only = web.get("/v1/periods", params={"tenant": "acme"}).json()["data"]["periods"]
    assert [row["tenant_id"] for row in only] == ["acme"]


def test_one_tenant_is_closed_as_json(callfare: Any) -> None:
    """With its own figures alone; a month without calls can be closed too."""
    closed = callfare("period", "close", "2026-09", "--tenant", "acme", "--json").json
    assert [row["tenant_id"] for row in closed["periods"]] == ["acme"]
    assert closed["open_workflow_count"] >= 1
    callfare("period", "close", "2026-01")
    assert "2026-01" in callfare("period", "list").out
    listed = callfare("period", "list", "--tenant", "acme", "--json").json["periods"]
    assert [(row["month"], row["tenant_id"]) for row in listed] == [("2026-09", "acme"), ("2026-01", None)]
    reopened = callfare("period", "reopen", "2026-01", "--json").json
    assert (reopened["month"], reopened["tenant_id"]) == ("2026-01", "*")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "error"),
    [
        (("close", "2026-13"), 2, "is no month; write YYYY-MM"),
        (("close", "september"), 2, "is no month; write YYYY-MM"),
        (("close", f"{datetime.now(UTC) + timedelta(days=31):%Y-%m}"), 1, "is not over"),
        (("close", "2026-01", "--tenant", " "), 2, "--tenant is empty"),
        (("reopen", "2026-01"), 1, "is not closed for every tenant"),
    ],
)
def test_a_mistake_is_one_line(callfare: Any, arguments: tuple[str, ...], exit_code: int, error: str) -> None:
    """What is wrong and how to write it."""
    ran = callfare("period", *arguments)
    assert (ran.exit_code, ran.out, ran.err.count("\n")) == (exit_code, "", 1)
    assert error in ran.err
