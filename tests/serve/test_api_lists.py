"""Lists of workflows and calls over the API: filters, pages, streams, and what cannot be read."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal as D
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from cost_exporter.report.spend import COLUMN_BY_DIMENSION
from cost_exporter.serve.api.cursor import cursor_of
from cost_exporter.store.browsing import Place, WorkflowFilter
from cost_exporter.store.reading import Period, ReaderPool
from tests.support.stored import BATCH_KEY, CHAT_COST_USD, EMBEDDING_COST_USD, OTHER_CALL, SUPPORT_CALL

ALL = [SUPPORT_CALL.hex(), OTHER_CALL.hex()]


def listed(web: TestClient, **asked: str) -> list[str]:
    answer = web.get("/v1/workflows", params=asked)
    assert answer.status_code == 200, answer.text
    return [each["trace_id"] for each in answer.json()["data"]["workflows"]]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ALL),
        ({"tenant": "acme"}, ALL[:1]),
        ({"tenant": "../.."}, []),
        ({"name": "PORT-C"}, ALL[:1]),
        ({"trace_id": "1bf76519-16cd-43dd-8448-eb211c80319d"}, ALL[1:]),
        ({"workflow_id": OTHER_CALL.hex()}, ALL[1:]),
        ({"unpriced": "true"}, ALL[:1]),
        ({"user": "nobody"}, []),
        ({"api_key": "none"}, []),
        ({"api_key": BATCH_KEY}, ALL[1:]),
        ({"outcome": "failed"}, []),
        ({"start_date": "2020-01-01", "end_date": "2020-01-02"}, []),
    ],
)
def test_workflows_are_found_by_what_is_known_of_them(web: TestClient, asked: dict[str, str], found: list[str]) -> None:
    """Each filter alone, and none."""
    assert sorted(listed(web, **asked)) == sorted(found)


def test_a_listed_workflow_has_its_usage_and_what_a_minute_cost(web: TestClient) -> None:
    """Usage beside money, exact, with the bound where something is unknown."""
    (row,) = web.get("/v1/workflows", params={"tenant": "acme"}).json()["data"]["workflows"]
    assert D(row["total_cost_usd"]) == CHAT_COST_USD
    assert row["cost_is_lower_bound"] is True
    assert (row["request_count"], row["total_tokens"], row["characters"]) == (2, 1_234 + 87 + 20, 0)
    assert D(row["duration_seconds"]) == 1
    assert D(row["cost_per_minute_usd"]) == CHAT_COST_USD * 60


@pytest.mark.parametrize("sort", ["started", "cost", "duration"])
def test_pages_have_every_workflow_once(web: TestClient, sort: str) -> None:
    """In pages of one, in each order."""
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        data = web.get("/v1/workflows", params={"limit": "1", "sort": sort, "cursor": cursor}).json()["data"]
        seen += [each["trace_id"] for each in data["workflows"]]
        cursor = data["next_cursor"]
    assert sorted(seen) == sorted(ALL)
    assert len(seen) == len(set(seen))
    if sort == "cost":
        assert seen == ALL


def test_a_cursor_of_another_list_or_changed_is_refused(web: TestClient) -> None:
    """With another filter, another order, one letter changed, cut off, or made up."""
    cursor = web.get("/v1/workflows", params={"limit": "1"}).json()["data"]["next_cursor"]
    changed = [cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :] for at in range(0, len(cursor), 7)]
    asked = [
        {"cursor": cursor, "tenant": "acme"},
        {"cursor": cursor, "sort": "cost"},
        *({"cursor": text} for text in [*changed, cursor[:-4], "x", "é", "A" * 10_000]),
    ]
    for each in asked:
        answer = web.get("/v1/workflows", params=each)
        assert answer.status_code == 400, each
        assert "next_cursor" in answer.json()["error"]["message"]
    assert web.get("/v1/workflows", params={"cursor": cursor}).status_code == 200


def test_a_cursor_opens_no_other_tenant() -> None:
    """Who writes a cursor by hand sees no more than without one: the filter holds the tenant of the sender."""
    period = Period(since=datetime(2026, 11, 1, tzinfo=UTC), until=datetime(2026, 12, 1, tzinfo=UTC))
    everybody, one = WorkflowFilter(period=period), WorkflowFilter(period=period, tenant="acme")
    place = Place(key=D(1), trace_id=UUID(int=1), tenant="acme", namespace="acme")
    assert cursor_of(place, "cost", everybody) != cursor_of(place, "cost", one)


def test_streams_have_the_same_figures_as_json(web: TestClient) -> None:
    """CSV and NDJSON of workflows, calls and costs, to the last digit."""
    pages = {row["trace_id"]: row for row in web.get("/v1/workflows").json()["data"]["workflows"]}
    table = list(csv.DictReader(io.StringIO(web.get("/v1/workflows", params={"format": "csv"}).text)))
    lines = [json.loads(line) for line in web.get("/v1/workflows", params={"format": "ndjson"}).text.splitlines()]
    assert {row["trace_id"]: row["total_cost_usd"] for row in table} == {
        trace_id: row["total_cost_usd"] for trace_id, row in pages.items()
    }
    assert {row["trace_id"]: row for row in lines} == pages
    calls = [json.loads(line) for line in web.get("/v1/calls").text.splitlines()]
    assert sum(D(call["cost_usd"]) for call in calls if call["cost_usd"]) == CHAT_COST_USD + EMBEDDING_COST_USD
    assert sum(1 for call in calls if call["cost_usd"] is None) == 1
    assert [call["tenant_id"] for call in calls] == sorted(call["tenant_id"] for call in calls)
    spreadsheet = web.get("/v1/calls", params={"format": "csv"})
    assert "attachment" in spreadsheet.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(spreadsheet.text)))
    assert sum(D(row["cost_usd"]) for row in rows if row["cost_usd"]) == CHAT_COST_USD + EMBEDDING_COST_USD
    (formula,) = [row["model"] for row in rows if "no-such-model" in row["model"]]
    assert formula == "'=no-such-model"
    costs = list(csv.DictReader(io.StringIO(web.get("/v1/costs", params={"format": "csv", "group_by": "model"}).text)))
    assert sum(D(row["cost_usd"]) for row in costs if row["cost_usd"]) == CHAT_COST_USD + EMBEDDING_COST_USD


def test_a_stream_gives_its_connection_back_when_the_reader_leaves(filled: str) -> None:
    """Also when it is not read to its end; and at most two are open at once."""
    pool = ReaderPool(filled)
    try:
        for _ in range(5):
            with pool.lend_stream_to(None) as reader:
                rows = reader.stream("call_list", everything(), {})
                assert next(rows)
                assert isinstance(rows, Iterator)
                rows.close()  # type: ignore[attr-defined]
    finally:
        pool.close()


def everything() -> dict[str, object]:
    return WorkflowFilter(period=Period.always()).parameters()


@pytest.mark.parametrize("dimension", COLUMN_BY_DIMENSION)
def test_what_a_key_cost_is_grouped_by_every_dimension(web: TestClient, dimension: str) -> None:
    """Its one call, whole, in the only group."""
    answer = web.get(f"/v1/api-keys/{BATCH_KEY}/costs", params={"group_by": dimension})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    (group,) = data["groups"]
    assert {D(each["cost_usd"]) for each in (group, *data["daily_breakdown"])} == {EMBEDDING_COST_USD}
    assert (group["request_count"], D(data["total_cost_usd"])) == (1, EMBEDDING_COST_USD)
    assert web.get("/v1/api-keys/another/costs", params={"group_by": dimension}).status_code == 404


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/workflows?start_date=2026-02-02&end_date=2026-02-01", "start_date must be before end_date"),
        ("/v1/workflows?sort=colour", "choose from started, cost, duration"),
        ("/v1/workflows?limit=0", "limit"),
        ("/v1/workflows?limit=1001", "limit"),
        ("/v1/workflows?limit=٣", "limit"),
        ("/v1/workflows?trace_id=zz", "32 hex digits"),
        ("/v1/workflows?unpriced=maybe", "true or false"),
        ("/v1/workflows?outcome=nice", "running, completed, failed"),
        ("/v1/workflows?format=xlsx", "json, csv, ndjson"),
        ("/v1/workflows?name=%00", "NUL"),
        ("/v1/calls?format=json", "ndjson, csv"),
        ("/v1/costs?format=pdf", "json, csv, ndjson"),
        ("/v1/prices?offset=-1", "offset"),
        ("/v1/api-keys/%00/costs", "NUL"),
    ],
)
def test_what_cannot_be_read_is_400_with_a_sentence(web: TestClient, path: str, message: str) -> None:
    """The sentence says what to write."""
    answer = web.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["x" * 10_000, "\u202egnp.exe", "../..", "'; drop table callfare.record; --", "%_\\"])
def test_odd_names_are_names(web: TestClient, name: str) -> None:
    """Ten kilobytes, right to left, a path, SQL and wildcards are looked for as they are, and found nowhere."""
    for asked in ({"tenant": name}, {"name": name}, {"user": name}, {"workflow_id": name}):
        assert listed(web, **asked) == []
    assert web.get("/v1/costs", params={"tenant": name}).json()["data"]["groups"] == []


def test_unpriced_says_what_is_missing(web: TestClient) -> None:
    """Model, count, since when, units, and the newest trace."""
    (row,) = web.get("/v1/unpriced").json()["data"]["unpriced"]
    assert (row["model"], row["status"], row["request_count"]) == ("=no-such-model", "unpriced", 1)
    assert row["missing_units"] == ["input_tokens", "output_tokens"]
    assert row["example_trace_id"] == SUPPORT_CALL.hex()
    assert web.get("/v1/unpriced", params={"tenant": "beta"}).json()["data"]["unpriced"] == []


def test_prices_are_searched_and_paged(web: TestClient) -> None:
    """Words, a provider, pages without overlap."""
    first = web.get("/v1/prices", params={"q": "gpt-4o-mini input", "provider": "OpenAI", "limit": "2"}).json()["data"]
    assert all(row["provider"] == "openai" and "gpt-4o-mini" in row["model"] for row in first["prices"])
    assert first["next_offset"] == 2
    second = web.get("/v1/prices", params={"q": "gpt-4o-mini input", "provider": "openai", "offset": "2"}).json()
    assert {row["price_id"] for row in first["prices"]}.isdisjoint(row["price_id"] for row in second["data"]["prices"])


def test_costs_name_models_and_times(web: TestClient) -> None:
    """The breakdown by model adds up; the first and last request are those of the records."""
    data = web.get("/v1/costs").json()["data"]
    breakdown = data["model_breakdown"]
    assert breakdown["openai/text-embedding-3-small"]["cost_usd"] == "0.00004"
    assert breakdown["openai/=no-such-model"]["cost_usd"] is None
    assert sum(D(row["cost_usd"]) for row in breakdown.values() if row["cost_usd"]) == D(data["total_cost_usd"])
    assert data["first_request_at"] == data["last_request_at"]
    assert breakdown["openai/text-embedding-3-small"]["avg_latency_ms"] == "1000"
