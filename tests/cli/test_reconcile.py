"""`callfare reconcile`: providers' files, and their APIs against fakes that answer as they do, page by page."""

import csv
import io
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from decimal import Decimal as D
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from starlette.testclient import TestClient

from cost_exporter.serve.app import create_app
from cost_exporter.serve.metrics import ServiceMetrics
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.price_books import current_book
from cost_exporter.store.reading import ReaderPool
from cost_exporter.store.tokens import Credential, TokenScope
from tests.cli.running import run_command
from tests.domain.builders import call
from tests.store.requests import request
from tests.support.stored import as_url

MINI, CLAUDE = "gpt-4o-mini-2024-07-18", "claude-3-5-haiku-20241022"
DAY = 1_789_948_800  # 2026-09-21, midnight UTC
PERIOD = ("--since", "2026-09-21", "--until", "2026-09-22")
Answer = Callable[[str, dict[str, list[str]]], dict[str, Any]]


def calls() -> list[Any]:
    """A day of three models and a telephone call."""
    cached = {"input_tokens": 1000, "output_tokens": 200, "cache_read_tokens": 400}
    return [
        call("a", model=MINI, quantities=cached),
        call("b", model=MINI, quantities={"input_tokens": 500, "output_tokens": 100}),
        call("c", model="text-embedding-3-small", operation="embeddings", quantities={"input_tokens": 2000}),
        call("d", provider="anthropic", model=CLAUDE, quantities=cached),
        call("e", provider="deepgram", model="nova-2", operation="speech_to_text", quantities={"audio_seconds": 90}),
        call(
            "f", provider="elevenlabs", model="eleven_flash_v2_5", operation="text_to_speech",
            quantities={"characters": 300},
        ),
        call(
            "g", provider="twilio", model="outbound", operation="phone_call", vendor_cost_usd=D("0.0140"),
            quantities={"call_seconds": 61, "calls": 1},
        ),
    ]  # fmt: skip


@pytest.fixture
def callfare(database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on a ledger with that day."""
    monkeypatch.setenv("CALLFARE_DATABASE_URL", as_url(database_url))
    with psycopg.connect(database_url, autocommit=True) as connection:
        ledger = LedgerStore(database_url)
        ledger.commit([request(*calls())], current_book(connection).price_of_call)
        ledger.close()
    return lambda *arguments: run_command(capsys, *arguments)


def usage_bucket(**models: dict[str, int]) -> dict[str, Any]:
    results = [
        {"object": "organization.usage.completions.result", "model": name, **counts} for name, counts in models.items()
    ]
    return {"object": "bucket", "start_time": DAY, "end_time": DAY + 86_400, "results": results}


OPENAI_USAGE = {
    MINI: {"input_tokens": 1500, "input_cached_tokens": 400, "output_tokens": 300, "num_model_requests": 2},
    "text-embedding-3-small": {"input_tokens": 2000, "num_model_requests": 1},
}
OPENAI_COSTS = {
    f"{MINI}, input": 0.000165,
    f"{MINI}, cached input": 0.00003,
    f"{MINI}, output": 0.00018,
    "text-embedding-3-small, input": 0.00004,
}


def openai_pages(usage: dict[str, Any], costs: dict[str, float]) -> list[dict[str, Any]]:
    results = [{"object": "organization.costs.result", "amount": {"value": value, "currency": "usd"}, "line_item": item}
               for item, value in costs.items()]  # fmt: skip
    money = {"object": "bucket", "start_time": DAY, "end_time": DAY + 86_400, "results": results}
    return [
        {"object": "page", "data": [usage_bucket(**usage)], "has_more": False, "next_page": None},
        {"object": "page", "data": [money], "has_more": False, "next_page": None},
    ]


def written(folder: Path, content: Any) -> str:
    path = folder / "statement.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def outcomes(ran: Any) -> dict[str, str]:
    return {each["name"]: each["outcome"] for each in ran.json["findings"]}


def test_openai_file_that_agrees(callfare: Any, tmp_path: Path) -> None:
    """Tokens by model and money by line item; the exit code says that all matches."""
    file = written(tmp_path, openai_pages(OPENAI_USAGE, OPENAI_COSTS))
    ran = callfare("reconcile", file, "--json")
    assert ran.exit_code == 0, ran.out
    assert outcomes(ran) == {MINI: "matched", "text-embedding-3-small": "matched"}
    table = callfare("reconcile", file)
    assert "2 matched" in table.out
    assert "1500 / 1500 input_tokens" in table.out


def test_openai_file_with_three_planted_differences(callfare: Any, tmp_path: Path) -> None:
    """A model of which nothing arrived, another price, and an item that is no model."""
    usage = {**OPENAI_USAGE, "o3-2025-04-16": {"input_tokens": 10, "output_tokens": 5}}
    costs = {**OPENAI_COSTS, "text-embedding-3-small, input": 0.00003, "vector store storage": 1.25}
    ran = callfare("reconcile", written(tmp_path, openai_pages(usage, costs)), "--json")
    assert ran.exit_code == 1
    assert outcomes(ran) == {
        MINI: "matched",
        "o3-2025-04-16": "missing spans",
        "text-embedding-3-small": "price differs",
        "vector store storage": "not mappable",
    }
    by_name = {each["name"]: each for each in ran.json["findings"]}
    assert "0.7500 of ours" in by_name["text-embedding-3-small"]["cause"]
    assert by_name["vector store storage"]["their_cost_usd"] == "1.25"


def test_anthropic_file(callfare: Any, tmp_path: Path) -> None:
    """Its exclusive counts become inclusive, and its cents dollars."""
    counts = {
        "uncached_input_tokens": 600, "cache_read_input_tokens": 400, "output_tokens": 200, "model": CLAUDE,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "server_tool_use": {"web_search_requests": 0},
    }  # fmt: skip
    days = {"starting_at": "2026-09-21T00:00:00Z", "ending_at": "2026-09-22T00:00:00Z"}
    money = {"amount": "0.1312", "currency": "USD", "description": "Claude Haiku 3.5", "model": CLAUDE}
    pages = [{"data": [{**days, "results": [each]}], "has_more": False, "next_page": None} for each in (counts, money)]
    ran = callfare("reconcile", written(tmp_path, "\n".join(map(json.dumps, pages))), "--json")
    assert (ran.exit_code, outcomes(ran)) == (0, {CLAUDE: "matched"}), ran.out


ANTHROPIC_COUNTS = {
    "uncached_input_tokens": 600, "cache_read_input_tokens": 400, "output_tokens": 200, "model": CLAUDE,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "server_tool_use": {"web_search_requests": 0},
}  # fmt: skip


def test_anthropic_api_page_by_page(callfare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage by model and cost by description, each to its last page; the key is an admin's, and stays out of errors."""
    window = {"starting_at": ["2026-09-21T00:00:00Z"], "ending_at": ["2026-09-22T00:00:00Z"]}
    day = {"starting_at": "2026-09-21T00:00:00Z", "ending_at": "2026-09-22T00:00:00Z"}
    money = [
        {"amount": amount, "currency": "USD", "description": f"Claude Haiku 3.5, {kind}", "model": CLAUDE}
        for kind, amount in (("input", "0.048"), ("cached", "0.0032"), ("output", "0.08"))
    ]
    asked: list[str] = []

    def answer(path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        asked.append(path)
        assert {name: query[name] for name in window} == window
        if path == "/v1/organizations/usage_report/messages":
            assert (query["group_by[]"], query["bucket_width"]) == (["model"], ["1d"])
            return {"data": [{**day, "results": [ANTHROPIC_COUNTS]}], "has_more": False, "next_page": None}
        assert (path, query["group_by[]"]) == ("/v1/organizations/cost_report", ["description"])
        if "page" not in query:
            return {"data": [{**day, "results": money[:2]}], "has_more": True, "next_page": "page_2"}
        assert query["page"] == ["page_2"]
        return {"data": [{**day, "results": money[2:]}], "has_more": False, "next_page": None}

    monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", "sk-ant-admin01-test")
    with fake(answer, "sk-ant-admin01-test", {"anthropic-version": "2023-06-01"}) as url:
        arguments = ("reconcile", "--provider", "anthropic", "--api-url", url, *PERIOD)
        ran = callfare(*arguments, "--json")
        assert (ran.exit_code, outcomes(ran)) == (0, {CLAUDE: "matched"}), ran.out
        assert ran.json["findings"][0]["their_cost_usd"] == "0.001312"
        assert asked.count("/v1/organizations/cost_report") == 2
        monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", "sk-ant-wrong")
        refused = callfare(*arguments)
    assert (refused.exit_code, "answered 401" in refused.err, "sk-ant-wrong" in refused.err) == (1, True, False)


def test_a_comparison_has_the_forms_of_a_report(callfare: Any, tmp_path: Path) -> None:
    """Markdown, CSV and a page of its own say what the JSON says; what a name contains stays text."""
    costs = {**OPENAI_COSTS, "text-embedding-3-small, input": 0.00003, "<script>alert(1)</script>": 1.25}
    file = written(tmp_path, openai_pages(OPENAI_USAGE, costs))
    by_form = {form: callfare("reconcile", file, "--format", form) for form in ("markdown", "csv", "html", "json")}
    assert {ran.exit_code for ran in by_form.values()} == {1}
    findings = by_form["json"].json["findings"]
    assert len(findings) == 3
    rows = list(csv.DictReader(io.StringIO(by_form["csv"].out)))
    assert [(row["model"], row["outcome"]) for row in rows] == [(each["name"], each["outcome"]) for each in findings]
    assert "| text-embedding-3-small | price differs | $0.00004 | $0.00003 |" in by_form["markdown"].out
    assert "<h1>openai from 2026-09-21 until 2026-09-22" in by_form["html"].out
    assert "<script>" not in by_form["html"].out
    for form in ("xlsx", "focus"):
        assert callfare("reconcile", file, "--format", form).exit_code == 2


def test_what_is_kept_is_a_page(callfare: Any, database_url: str, tmp_path: Path) -> None:
    """The newest first, as it was then; one of a tenant is shown to it, and one of all tenants is not."""
    usage = {**OPENAI_USAGE, "o3-2025-04-16": {"input_tokens": 10, "output_tokens": 5}}
    assert callfare("reconcile", written(tmp_path, openai_pages(OPENAI_USAGE, OPENAI_COSTS)), "--keep").exit_code == 0
    differing = written(tmp_path, openai_pages(usage, OPENAI_COSTS))
    assert callfare("reconcile", differing, "--keep").exit_code == 1
    assert callfare("reconcile", differing).exit_code == 1
    readers = ReaderPool(database_url)
    seen: list[frozenset[str] | None] = [None]

    def authenticate(_: str | None) -> Credential | None:
        return None if seen[0] is None else Credential(tenants=seen[0], scopes=frozenset({TokenScope.READ}))

    with closing(readers):
        app = create_app(lend=readers.lend_to, metrics=ServiceMetrics(), authenticate=authenticate, is_local=True)
        web = TestClient(app, base_url="http://127.0.0.1")
        newest = web.get("/reconciled").text
        assert "2 matched, 1 missing spans" in newest
        assert "o3-2025-04-16" in newest
        assert '<data value="0.000375">' in newest
        (first,) = set(re.findall(r"comparison=(\d+)", newest)) - {max(re.findall(r"comparison=(\d+)", newest))}
        older = web.get(f"/reconciled?comparison={first}").text
        assert "o3-2025-04-16" not in older
        for unknown in ("999", "x", "1" * 30, "%00"):
            assert web.get(f"/reconciled?comparison={unknown}").status_code == 404
        assert callfare("reconcile", differing, "--tenant", "default", "--keep").exit_code == 1
        seen[0] = frozenset({"default"})
        own = web.get("/reconciled").text
        assert own.count("/reconciled?comparison=") == 1
        assert web.get(f"/reconciled?comparison={first}").status_code == 404
        seen[0] = frozenset({"beta"})
        assert "Nothing was compared yet" in web.get("/reconciled").text


def test_speech_files(callfare: Any, tmp_path: Path) -> None:
    """Deepgram's hours are rounded, ElevenLabs' characters are not."""
    window = {"start": "2026-09-21", "end": "2026-09-21", "hours": 0.03, "requests": 1}
    deepgram = {
        "start": "2026-09-21",
        "end": "2026-09-22",
        "resolution": {"units": "day", "amount": 1},
        "results": [window],
    }
    ran = callfare("reconcile", written(tmp_path, deepgram), "--json")
    assert (ran.exit_code, outcomes(ran)) == (0, {"speech_to_text": "matched"}), ran.out
    elevenlabs = {"time": [DAY * 1000], "usage": {"eleven_flash_v2_5": [300]}}
    ran = callfare("reconcile", written(tmp_path, elevenlabs), "--json")
    assert (ran.exit_code, outcomes(ran)) == (0, {"eleven_flash_v2_5": "matched"}), ran.out
    elevenlabs["usage"] = {"eleven_flash_v2_5": [301]}
    assert callfare("reconcile", written(tmp_path, elevenlabs)).exit_code == 1


def test_tables_of_a_cloud(callfare: Any, tmp_path: Path) -> None:
    """FOCUS by its SKU, AWS's report by its usage type; what is not named is shown as such."""
    focus = "ChargePeriodStart,BilledCost,SkuMeter,BillingCurrency\n2026-09-21T05:00:00Z,0.001312,Haiku,USD\n"
    file = written(tmp_path, focus)
    named = ("--map", f"Haiku={CLAUDE}")
    ran = callfare("reconcile", file, "--provider", "anthropic", *named, "--json")
    assert (ran.exit_code, outcomes(ran)) == (0, {CLAUDE: "matched"}), ran.out
    unnamed = callfare("reconcile", file, "--provider", "anthropic", "--json")
    assert outcomes(unnamed) == {"Haiku": "not mappable", CLAUDE: "extra spans"}
    cur = "lineItem/UsageStartDate,lineItem/UnblendedCost,lineItem/UsageType\n2026-09-21T00:00:00Z,0.0013120000,Haiku\n"
    assert callfare("reconcile", written(tmp_path, cur), "--provider", "anthropic", *named).exit_code == 0


@contextmanager
def fake(answer: Answer, credential: str, headers: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """A provider's API on this machine; who shows another credential, or lacks a header, is refused."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown = self.headers.get("Authorization") or self.headers.get("x-api-key") or ""
            parts = urlsplit(self.path)
            is_right = shown == credential and all(self.headers.get(name) == text for name, text in headers.items())
            body = json.dumps(answer(parts.path, parse_qs(parts.query)) if is_right else {"error": "no"})
            self.send_response(200 if is_right else 401)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_openai_api_page_by_page(callfare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of usage is asked for, and each page followed to the last one."""
    asked: list[str] = []

    def answer(path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        asked.append(path)
        usage, costs = openai_pages(OPENAI_USAGE, OPENAI_COSTS)
        if path == "/v1/organization/costs":
            return costs
        if path != "/v1/organization/usage/completions":
            return {"object": "page", "data": [], "has_more": False, "next_page": None}
        results = usage["data"][0]["results"]
        page = 1 if "page" in query else 0
        bucket = {**usage["data"][0], "results": results[page : page + 1]}
        return {"object": "page", "data": [bucket], "has_more": page == 0, "next_page": "page_2" if page == 0 else None}

    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-test")
    with fake(answer, "Bearer sk-admin-test") as url:
        ran = callfare("reconcile", "--provider", "openai", "--api-url", url, *PERIOD, "--json")
        assert (ran.exit_code, outcomes(ran)) == (0, {MINI: "matched", "text-embedding-3-small": "matched"}), ran.out
        assert asked.count("/v1/organization/usage/completions") == 2
        monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-wrong")
        refused = callfare("reconcile", "--provider", "openai", "--api-url", url, *PERIOD)
    assert (refused.exit_code, refused.err.count("\n")) == (1, 1)
    assert "answered 401" in refused.err
    assert "sk-wrong" not in refused.err


def test_twilio_api_counts_and_prices(callfare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls by operation; a sum of categories is not counted twice; what is no call is shown."""

    def answer(path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        assert path == "/2010-04-01/Accounts/AC1/Usage/Records/Daily.json"
        day = {"start_date": "2026-09-21", "end_date": "2026-09-21", "price_unit": "usd"}
        first = [
            {**day, "category": "calls", "count": "1", "price": "0.014"},
            {**day, "category": "calls-outbound", "count": "1", "price": "0.014"},
            {**day, "category": "calls-inbound", "count": "0", "price": "0"},
            {**day, "category": "totalprice", "count": "", "price": "1.164"},
        ]
        second = [{**day, "category": "phonenumbers", "count": "1", "price": "1.15"}]
        is_second = "Page" in query
        following = None if is_second else f"{path}?Page=1"
        return {"usage_records": second if is_second else first, "next_page_uri": following}

    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC1")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    with fake(answer, "Basic QUMxOnNlY3JldA==") as url:
        ran = callfare("reconcile", "--provider", "twilio", "--api-url", url, *PERIOD, "--json")
    assert outcomes(ran) == {"phone_call": "matched", "phonenumbers": "not mappable"}, ran.out


@pytest.mark.parametrize(
    "case",
    [
        ((), 2, "name a FILE of the provider, or --provider"),
        (("--provider", "deepgram"), 2, "has no API here"),
        (("--provider", "openai", *PERIOD), 1, "OPENAI_ADMIN_KEY is not set"),
        (("FILE", "--map", "x"), 2, "is not NAME=MODEL"),
        (("FILE",), 1, "of no known provider"),
        (("missing.json",), 1, "cannot be read"),
    ],
)
def test_a_mistake_is_one_line(
    callfare: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[tuple[str, ...], int, str],
) -> None:
    """What is wrong and how to fix it."""
    arguments, exit_code, error = case
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
    file = written(tmp_path, {"hello": 1})
    ran = callfare("reconcile", *(file if each == "FILE" else each for each in arguments))
    assert (ran.exit_code, ran.out, ran.err.count("\n")) == (exit_code, "", 1)
    assert error in ran.err


@pytest.mark.parametrize(
    "content",
    [
        '{"object": "page", "data": [{"start_time": "x", "results": []}]}',
        '{"object": "page", "data": [{"start_time": 1e400, "results": [{}]}]}',
        '{"object": "page", "data": [{"start_time": 1, "results": [{"model": "m", "input_tokens": "NaN"}]}]}',
        '{"object": "page", "data": {}}',
        '{"time": [1], "usage": {"m": [1, 2]}}',
        '{"usage_records": [1]}',
        "[1]",
        "{",
        "a,b\n1,2\n",
        "",
    ],
)
def test_a_file_that_is_no_statement_is_one_line(callfare: Any, tmp_path: Path, content: str) -> None:
    """Nothing in it makes a traceback."""
    ran = callfare("reconcile", written(tmp_path, content))
    assert (ran.out, ran.err.count("\n")) == ("", 1)
    assert ran.exit_code in {1, 2}
