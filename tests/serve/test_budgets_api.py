"""The API of budgets: what an application asks before a call, and an operator of the limits."""

from collections.abc import Iterator
from decimal import Decimal as D
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from cost_exporter.errors import Unauthenticated
from cost_exporter.serve.app import create_app
from cost_exporter.serve.metrics import ServiceMetrics
from cost_exporter.store.budgets.accounts import lender_of, open_budget_pool
from cost_exporter.store.budgets.expiry import sweep_reservations
from cost_exporter.store.reading import ReaderPool
from cost_exporter.store.tokens import Credential, TokenScope

TOKENS = {
    "acme": Credential(tenants=frozenset({"acme"}), scopes=frozenset({TokenScope.INGEST})),
    "globex": Credential(tenants=frozenset({"globex"}), scopes=frozenset({TokenScope.INGEST})),
    "read": Credential(tenants=frozenset({"acme"}), scopes=frozenset({TokenScope.READ})),
    "admin": Credential(tenants=frozenset({"acme"}), scopes=frozenset({TokenScope.ADMIN})),
    "all": Credential(tenants=frozenset({"*"}), scopes=frozenset({TokenScope.ADMIN})),
}
DAY = {"tenant": "acme", "window": "day", "limit_usd": "1.00"}


def known(token: str | None) -> Credential:
    if token not in TOKENS:
        raise Unauthenticated("the token is unknown")
    return TOKENS[token]


@pytest.fixture
def served(database_url: str) -> Iterator[Any]:
    """Make a client of an application that asks for tokens, or does not."""
    readers, pool = ReaderPool(database_url), open_budget_pool(database_url)

    def make(**given: Any) -> TestClient:
        app = create_app(lend=readers.lend_to, lend_budgets=lender_of(pool), metrics=ServiceMetrics(), **given)
        return TestClient(app, raise_server_exceptions=False)

    yield make
    pool.close()
    readers.close()


@pytest.fixture
def web(served: Any) -> TestClient:
    client: TestClient = served()
    assert client.put("/v1/budgets/acme-day", json=DAY).status_code == 200
    return client


def post(web: TestClient, what: str, token: str = "", key: str = "", **body: Any) -> Any:
    headers = ({"authorization": f"Bearer {token}"} if token else {}) | ({"idempotency-key": key} if key else {})
    return web.post(f"/v1/budgets/{what}", json=body, headers=headers)


def reserve(web: TestClient, usd: str = "0.40", **given: Any) -> Any:
    return post(web, "reserve", **({"tenant": "acme", "estimate_usd": usd} | given))


def figures(web: TestClient) -> tuple[D, D]:
    (budget,) = web.get("/v1/budgets").json()["data"]["budgets"]
    return D(budget["reserved_usd"]), D(budget["remaining_usd"])


def test_check_says_what_remains_and_reserves_nothing(web: TestClient) -> None:
    """With the budget that is the tightest."""
    body = post(web, "check", tenant="acme", estimate_usd="0.40").json()["data"]
    assert (body["allowed"], body["remaining_usd"], body["budget"]) == (True, "1", "acme-day")
    assert post(web, "check", tenant="acme", estimate_usd="1.01").json()["data"]["allowed"] is False
    other = post(web, "check", tenant="other", estimate_usd="9").json()["data"]
    assert (other["allowed"], other["remaining_usd"], other["budget"]) == (True, None, None)
    assert figures(web) == (0, 1)


def test_a_refused_reservation_is_429_with_all_figures(web: TestClient) -> None:
    """And with the time after which it may fit."""
    assert reserve(web).status_code == reserve(web).status_code == 200
    refused = reserve(web)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["reason"]) == (429, "budget_exceeded", "exceeded")
    assert (error["budget"], error["window"], error["limit_usd"], error["spent_usd"]) == ("acme-day", "day", "1", "0")
    assert (error["reserved_usd"], error["remaining_usd"]) == ("0.8", "0.2")
    assert error["resets_at"].endswith("T00:00:00Z")
    assert error["request_id"]
    assert 1 <= int(refused.headers["retry-after"]) <= 86_400
    assert reserve(web, "0.20").status_code == 200
    assert "callfare_budget_exceeded_total 1.0" in web.get("/metrics").text


def test_a_call_without_a_price_is_refused_by_a_hard_budget(web: TestClient) -> None:
    """By its own reason."""
    refused = post(web, "reserve", tenant="acme", estimate_usd=None)
    assert (refused.status_code, refused.json()["error"]["reason"]) == (429, "unpriced")


def test_the_same_key_reserves_once(web: TestClient) -> None:
    """A request that is sent again gets the first answer, also where nothing would fit any more."""
    first = reserve(web, "1.00", key="call-1").json()["data"]["reservation_id"]
    assert reserve(web, "1.00", key="call-1").json()["data"]["reservation_id"] == first
    assert reserve(web, "1.00", key="call-2").status_code == 429
    assert reserve(web, key="k" * 201).status_code == 400


def test_settle_and_release(web: TestClient, database_url: str) -> None:
    """Unknown is 404; expired is 200 and late."""
    first, second, third = (reserve(web, "0.20").json()["data"]["reservation_id"] for _ in range(3))
    settled = post(web, "settle", reservation_id=first, actual_usd="0.25").json()["data"]
    assert settled == {"reservation_id": first, "state": "settled", "late": False}
    assert post(web, "release", reservation_id=second).json()["data"]["state"] == "released"
    assert figures(web) == (D("0.45"), D("0.55"))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update callfare.reservation set heartbeat_at = now() - interval '1 hour'")
        sweep_reservations(connection)
    late = post(web, "settle", reservation_id=third, actual_usd="0.10")
    assert (late.status_code, late.json()["data"]["late"]) == (200, True)
    assert figures(web) == (D("0.35"), D("0.65"))
    for what in ("settle", "release"):
        unknown = post(web, what, reservation_id="0" * 32, **({"actual_usd": "1"} if what == "settle" else {}))
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


def test_a_lease_is_granted_renewed_and_returned(web: TestClient) -> None:
    """With what the process needs to decide by itself."""
    ask = {"tenant": "acme", "process_id": "p", "estimate_usd": "0.01"}
    first = post(web, "lease", **ask).json()["data"]
    assert (first["mode"], first["granted_usd"], first["dimensions"]) == ("lease", "0.04", {})
    assert 0 < first["valid_seconds"] <= 86_400
    more = post(web, "lease", **ask, lease_id=first["lease_id"], admitted_usd="0.03").json()["data"]
    assert (more["lease_id"], more["granted_usd"]) == (first["lease_id"], "0.07")
    returned = {"lease_id": first["lease_id"], "admitted_usd": "0.02"}
    assert post(web, "return", returns=[returned]).json()["data"]["returned"] == 1
    assert figures(web) == (D("0.02"), D("0.98"))
    assert post(web, "lease", tenant="other", estimate_usd="1").json()["data"]["mode"] == "none"
    assert post(web, "lease", tenant="acme", estimate_usd="0.6").json()["data"]["mode"] == "reserve"


@pytest.mark.parametrize(
    "body",
    [
        {"estimate_usd": 0.1},
        {"estimate_usd": "-1"},
        {"estimate_usd": "lots"},
        {"estimate_usd": True},
        {"tenant": "a\0b"},
        {"user": "u" * 257},
        {"max_budget": "1"},
    ],
)
def test_a_body_that_cannot_be_read_is_a_bad_request(web: TestClient, body: dict[str, Any]) -> None:
    """A float is not exact, and a field that nobody reads has no effect."""
    answer = post(web, "reserve", **body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert figures(web) == (0, 1)


def test_a_budget_is_set_changed_and_removed(web: TestClient) -> None:
    """By the rules of the configuration file, with the names of others understood."""
    assert web.put("/v1/budgets/acme-day", json=DAY | {"limit_usd": "2"}).status_code == 200
    assert figures(web) == (0, 2)
    foreign = web.put("/v1/budgets/x", json={"tenant": "acme", "window": "day", "max_budget": "5"})
    assert (foreign.status_code, foreign.json()["error"]["message"]) == (400, "max_budget? write limit_usd")
    assert web.put("/v1/budgets/x", json={"window": "day", "limit_usd": "5"}).status_code == 400
    assert web.delete("/v1/budgets/acme-day").status_code == 200
    assert web.delete("/v1/budgets/acme-day").status_code == 404
    assert web.get("/v1/budgets").json()["data"]["budgets"] == []


def test_with_tokens_everybody_has_its_own(served: Any) -> None:
    """Another tenant's budget, call or reservation does not exist; who only reads does not reserve."""
    web: TestClient = served(authenticate=known, is_local=False)

    def put(token: str, name: str = "d", **body: Any) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return web.put(f"/v1/budgets/{name}", json=DAY | body, headers=headers).status_code

    assert (put("admin"), put("admin", tenant="globex"), put("acme"), put("read")) == (200, 404, 403, 403)
    assert put("all", "g", tenant="globex") == 200
    assert put("admin", "g") == 400  # the name is taken
    assert web.delete("/v1/budgets/g", headers={"authorization": "Bearer admin"}).status_code == 404
    assert reserve(web).status_code == 401
    assert reserve(web, token="read").status_code == 403
    assert reserve(web, token="globex").status_code == 404  # it states acme
    made = post(web, "reserve", token="acme", estimate_usd="0.4").json()["data"]
    assert made["budget"] == "d"
    for what, body in (("settle", {"actual_usd": "0"}), ("release", {})):
        other = post(web, what, token="globex", reservation_id=made["reservation_id"], **body)
        assert other.status_code == 404
    mine = web.get("/v1/budgets", headers={"authorization": "Bearer read"}).json()["data"]["budgets"]
    assert [(budget["name"], budget["reserved_usd"]) for budget in mine] == [("d", "0.4")]


def test_a_body_that_is_no_json_is_refused_with_the_header_it_needs(web: TestClient) -> None:
    """What `curl -d` sends by itself is a form: the answer names the header that is missing."""
    answer = web.post("/v1/budgets/check", content='{"tenant": "acme"}', headers={"content-type": "text/plain"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "send the body as JSON, with the header Content-Type: application/json"


def test_a_call_that_goes_on_reserves_again(web: TestClient) -> None:
    """With its own id and what it may cost in all; refused, it keeps what it has. An unknown one is 404."""
    first = post(web, "reserve", tenant="acme", estimate_usd="0.30", goes_on=True).json()["data"]
    call_id = first["reservation_id"]
    more = post(web, "reserve", tenant="acme", estimate_usd="0.80", goes_on=True, reservation_id=call_id)
    assert (more.status_code, more.json()["data"]["reservation_id"]) == (200, call_id)
    refused = post(web, "reserve", tenant="acme", estimate_usd="1.01", goes_on=True, reservation_id=call_id)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "budget_exceeded")
    assert post(web, "check", tenant="acme", estimate_usd="0.20").json()["data"]["allowed"]
    assert not post(web, "check", tenant="acme", estimate_usd="0.21").json()["data"]["allowed"]
    unknown = post(web, "reserve", tenant="acme", estimate_usd="0.1", reservation_id="nobody's")
    assert unknown.status_code == 404
