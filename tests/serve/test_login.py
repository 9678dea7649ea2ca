"""The login page: a token lets a browser in, as far as the token reaches, and no other site can use its session."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from cost_exporter.serve.app import create_app
from cost_exporter.serve.attempts import Attempts
from cost_exporter.serve.metrics import ServiceMetrics
from cost_exporter.store.reading import ReaderPool
from cost_exporter.store.token_directory import TokenDirectory
from cost_exporter.store.tokens import TokenScope, create, revoke
from cost_exporter.store.web_sessions import WebSessions
from tests.support.stored import OTHER_CALL, SUPPORT_CALL, filled_database

Database = psycopg.Connection[Any]
Browse = Callable[..., TestClient]
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
OUTSIDE = "https://costs.example"


@pytest.fixture(scope="module")
def own_filled(postgres_url: str) -> Iterator[str]:
    """A filled database in which these tests may make tokens."""
    with filled_database(postgres_url, "callfare_filled_for_login") as url:
        yield url


@pytest.fixture
def database(own_filled: str) -> Iterator[Database]:
    with psycopg.connect(own_filled, autocommit=True) as connection:
        yield connection
        connection.execute("truncate callfare.token, callfare.token_ever, callfare.web_session")


@pytest.fixture
def browse(own_filled: str, database: Database) -> Iterator[Browse]:
    """Make the browser of a person, at an outside address unless another is asked for."""
    readers = ReaderPool(own_filled)

    def connect() -> Any:
        return psycopg.connect(own_filled, autocommit=True)

    def make(base_url: str = OUTSIDE, *, is_local: bool = False, attempts: Attempts | None = None) -> TestClient:
        app = create_app(
            lend=readers.lend_to,
            metrics=ServiceMetrics(),
            authenticate=TokenDirectory(connect, is_always_closed=not is_local, seconds_max=0),
            sessions=WebSessions(connect),
            attempts=attempts,
            is_local=is_local,
        )
        return TestClient(app, base_url=base_url, headers=HTML, follow_redirects=False, raise_server_exceptions=False)

    yield make
    readers.close()


def log_in(browser: TestClient, token: str, **fields: str) -> Any:
    origin = {"origin": str(browser.base_url).rstrip("/")}
    return browser.post("/login", data={"token": token} | fields, headers=origin)


def test_a_person_logs_in_with_a_token_and_sees_its_tenant(browse: Browse, database: Database) -> None:
    """Without a session the page is the login; with one it is the page, of that tenant alone, until the logout."""
    browser, token = browse(), create(database, ["acme"], [TokenScope.READ])
    refused = browser.get(f"/workflows/{SUPPORT_CALL.hex()}?x=1")
    assert (refused.status_code, "Log in" in refused.text) == (401, True)
    assert f'value="/workflows/{SUPPORT_CALL.hex()}?x=1"' in refused.text
    answer = log_in(browser, token, next=f"/workflows/{SUPPORT_CALL.hex()}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/workflows/{SUPPORT_CALL.hex()}")
    page = browser.get("/")
    assert (page.status_code, "acme" in page.text, "beta" in page.text) == (200, True, False)
    assert 'action="/logout"' in page.text
    assert 'action="/logout"' in browser.get(f"/workflows/{SUPPORT_CALL.hex()}").text
    assert browser.get(f"/workflows/{OTHER_CALL.hex()}").status_code == 404
    assert browser.get("/v1/costs").status_code == 200
    assert "You are logged in and see acme" in browser.get("/login").text
    gone = browser.post("/logout", headers={"origin": OUTSIDE})
    assert (gone.status_code, gone.headers["location"]) == (303, "/login")
    assert browser.get("/").status_code == 401


PAGES = (
    "/",
    "/workflows",
    "/spend",
    "/spend?group_by=tenant",
    "/budgets",
    "/prices",
    "/unpriced",
    "/unread",
    "/reconciled",
)
LISTS = (
    "workflows",
    "calls",
    "costs?group_by=tenant",
    "unpriced",
    "unread",
    "budgets",
    "periods",
    "costs?group_by=model",
)


def test_the_token_of_one_tenant_opens_every_page_and_only_its_data(browse: Browse, database: Database) -> None:
    """A customer's own portal: no page, list, file or single figure names the other tenant or its workflow."""
    own, other = create(database, ["acme"], [TokenScope.READ]), create(database, ["*"], [TokenScope.READ])
    customer, operator = browse(), browse()
    log_in(customer, own)
    log_in(operator, other)
    trace, foreign = SUPPORT_CALL.hex(), OTHER_CALL.hex()
    addresses = [*PAGES, *(f"/v1/{each}" for each in LISTS), "/v1/workflows?format=csv", "/v1/calls?format=ndjson"]
    shown = {path: (customer.get(path), operator.get(path)) for path in addresses}
    assert {mine.status_code for mine, _ in shown.values()} == {200}
    leaks = [path for path, (mine, _) in shown.items() if "beta" in mine.text or foreign in mine.text]
    assert leaks == []
    assert sum("beta" in all_of_it.text or foreign in all_of_it.text for _, all_of_it in shown.values()) >= 6
    assert trace in shown["/v1/workflows"][0].text
    for path in ("/workflows/{}", "/v1/workflows/{}/cost", "/v1/usage-stats/{}"):
        assert [customer.get(path.format(each)).status_code for each in (trace, foreign)] == [200, 404]
    mine, of_beta = (customer.get(f"/v1/costs?tenant={name}").json() for name in ("acme", "beta"))
    assert mine["data"]["groups"]
    assert not of_beta.get("data", {}).get("groups")
    put = {"window": "day", "limit_usd": "1"}
    headers = {"authorization": f"Bearer {own}"}
    assert customer.put("/v1/budgets/mine", json=put, headers=headers).status_code == 403
    assert customer.post("/v1/budgets/reserve", json={"estimate_usd": "1"}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("base_url", "is_local", "is_secure"),
    [(OUTSIDE, False, True), ("http://127.0.0.1", True, False), ("https://localhost", True, True)],
)
def test_the_cookie_is_as_closed_as_its_address_allows(
    browse: Browse, database: Database, base_url: str, *, is_local: bool, is_secure: bool
) -> None:
    """No script reads it, no other site sends it with a form, and it travels encrypted but on loopback without TLS."""
    browser = browse(base_url, is_local=is_local)
    cookie = log_in(browser, create(database, ["*"], [TokenScope.READ])).headers["set-cookie"]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= attributes
    assert not any(part.startswith("domain") for part in attributes)
    assert ("secure" in attributes, cookie.startswith("__Host-")) == (is_secure, is_secure)
    assert browser.get("/").status_code == 200


def test_a_session_holds_no_token_and_is_new_at_each_login(browse: Browse, database: Database) -> None:
    """Neither the cookie nor the table could be used for more; the session before is over."""
    browser, token = browse(), create(database, ["acme"], [TokenScope.READ])
    log_in(browser, token)
    (first,) = browser.cookies.values()
    assert token not in first
    assert first not in str(database.execute("select session_hash::text from callfare.web_session").fetchall())
    log_in(browser, token)
    (second,) = browser.cookies.values()
    assert second != first
    for session, status in ((second, 200), (first, 401)):
        browser.cookies.clear()
        assert browser.get("/", headers={"cookie": f"__Host-callfare_session={session}"}).status_code == status


def test_a_planted_session_is_worth_nothing(browse: Browse, database: Database) -> None:
    """Whoever sets the cookie before the login does not know it afterwards."""
    browser = browse()
    browser.cookies.set("__Host-callfare_session", "planted", domain="costs.example")
    log_in(browser, create(database, ["acme"], [TokenScope.READ]))
    browser.cookies.clear()
    assert browser.get("/", headers={"cookie": "__Host-callfare_session=planted"}).status_code == 401


@pytest.mark.parametrize("ended_by", ["revoke", "expiry", "session", "truncate"])
def test_a_session_ends_with_its_token(browse: Browse, database: Database, ended_by: str) -> None:
    """Revoked, expired, lost with a restore, or simply too old."""
    browser = browse()
    log_in(browser, create(database, ["acme"], [TokenScope.READ]))
    assert browser.get("/").status_code == 200
    match ended_by:
        case "revoke":
            ((token_id,),) = database.execute("select token_id from callfare.token").fetchall()
            revoke(database, token_id)
        case "expiry":
            database.execute("update callfare.token set created_at = now() - interval '1 d', expires_at = now()")
        case "session":
            database.execute("update callfare.web_session set expires_at = now()")
        case _:
            database.execute("truncate callfare.token")
    assert browser.get("/").status_code == 401


def test_a_session_is_no_longer_than_its_token(browse: Browse, database: Database) -> None:
    """Twelve hours, or what the token has left."""
    browser = browse()
    log_in(browser, create(database, ["acme"], [TokenScope.READ]))
    ((lasts,),) = database.execute("select expires_at - created_at from callfare.web_session").fetchall()
    assert lasts == timedelta(hours=12)


@pytest.mark.parametrize(
    ("token", "status"), [("", 401), ("wrong", 401), ("cf_" + "x" * 43, 401), ("ingest", 403), ("metrics", 403)]
)
def test_only_a_token_that_may_read_logs_in(browse: Browse, database: Database, token: str, status: int) -> None:
    """The page says why, and what was typed is not shown again."""
    made = {scope.value: create(database, ["acme"], [scope]) for scope in TokenScope}
    answer = log_in(browse(), made.get(token, token))
    assert (answer.status_code, "set-cookie" in answer.headers) == (status, False)
    assert 'role="alert"' in answer.text
    assert "cf_" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb:x", ""],
)
def test_nobody_is_sent_elsewhere_after_the_login(browse: Browse, database: Database, path: str) -> None:
    """`next` is a path of this address or nothing."""
    answer = log_in(browse(), create(database, ["acme"], [TokenScope.READ]), next=path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize("headers", [{}, {"origin": "https://evil.example"}, {"origin": "null"}])
def test_another_site_cannot_log_out_or_in(browse: Browse, database: Database, headers: dict[str, str]) -> None:
    """A form on another site is refused, whatever cookies the browser adds."""
    browser, token = browse(), create(database, ["acme"], [TokenScope.READ])
    log_in(browser, token)
    assert browser.post("/logout", headers=headers).status_code == 403
    assert browser.get("/").status_code == 200
    if headers:
        assert browser.post("/login", data={"token": token}, headers=headers).status_code == 403


def test_too_many_failures_have_to_wait(browse: Browse, database: Database) -> None:
    """After ten failures in a minute even the right token waits; a minute later it is let in."""
    seconds = [0.0]
    browser = browse(attempts=Attempts(monotonic_seconds=lambda: seconds[0]))
    token = create(database, ["acme"], [TokenScope.READ])
    assert [log_in(browser, "wrong").status_code for _ in range(10)] == [401] * 10
    refused = log_in(browser, token)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "61")
    seconds[0] = 60.0
    assert log_in(browser, token).status_code == 303


def test_attempts_are_counted_by_sender_and_bounded() -> None:
    """One IPv6 network is one sender; a crowd of addresses cannot fill the memory."""
    attempts = Attempts(monotonic_seconds=lambda: 0.0)
    for number in range(10):
        attempts.failed(f"2001:db8:1:2::{number:x}")
    assert attempts.wait_seconds("2001:db8:1:2::ffff") > 0
    assert attempts.wait_seconds("2001:db8:1:3::1") == 0
    assert attempts.wait_seconds("192.0.2.1") == 0
    for number in range(20_000):
        attempts.failed(f"10.0.{number // 256}.{number % 256}")
    assert len(attempts._failed_at) == 10_000


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [("/nowhere", 404, "no such page"), ("/workflows/z", 404, "no such page")],
)
def test_people_get_pages_and_programs_json(
    browse: Browse, database: Database, path: str, status: int, text: str
) -> None:
    """By the Accept header; the status is the same."""
    token = create(database, ["acme"], [TokenScope.READ])
    browser = browse()
    log_in(browser, token)
    page = browser.get(path)
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (status, "text/html")
    assert text in page.text
    for accept in ("application/json", "*/*"):
        answer = browser.get(path, headers={"accept": accept, "authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["success"]) == (status, False)


def test_a_bearer_token_wins_over_the_session_and_programs_get_their_challenge(
    browse: Browse, database: Database
) -> None:
    """A presented token is never ignored, also where a cookie would let its sender in."""
    browser = browse()
    log_in(browser, create(database, ["acme"], [TokenScope.READ]))
    answer = browser.get("/v1/costs", headers={"authorization": "Bearer wrong", "accept": "*/*"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_on_loopback_without_tokens_nothing_is_asked(browse: Browse) -> None:
    """The pages open as before, and a session of earlier tokens is nothing."""
    browser = browse("http://127.0.0.1", is_local=True)
    assert browser.get("/").status_code == 200
    assert browser.get("/", headers={"cookie": "callfare_session=old"}).status_code == 200
    assert log_in(browser, "").status_code == 401
