"""Scope by route: what the reference says is what each route does, and several tenants see theirs alone."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import Route
from starlette.testclient import TestClient

from cost_exporter.errors import Unauthenticated
from cost_exporter.serve.app import create_app
from cost_exporter.serve.metrics import ServiceMetrics
from cost_exporter.serve.scopes import scopes_of
from cost_exporter.store.reading import ReaderPool
from cost_exporter.store.token_directory import Authenticate
from cost_exporter.store.tokens import Credential, TokenScope
from tests.support.stored import SUPPORT_CALL

BODIES: dict[str, dict[str, Any]] = {
    "settle": {"reservation_id": "x", "actual_usd": "1"},
    "release": {"reservation_id": "x"},
    "return": {"returns": []},
    "check": {},
    "reserve": {},
    "lease": {},
    "{name}": {"window": "day", "limit_usd": "1"},
}
"""What each route with a body is asked: a body that cannot be read is refused before anybody is."""


def bearer_of(tenants: frozenset[str]) -> Authenticate:
    """Each scope's name is a token of it, several with commas."""

    def authenticate(token: str | None) -> Credential | None:
        if token is None:
            raise Unauthenticated("a token is needed")
        return Credential(tenants=tenants, scopes=frozenset(map(TokenScope, token.split(","))))

    return authenticate


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    """The application with no database behind it: who is let in gets 503."""
    monkeypatch.setattr("cost_exporter.store.reading._POOL_WAIT_SECONDS_MAX", 0.01)
    readers = ReaderPool("postgresql://127.0.0.1:1/nowhere")
    authenticate = bearer_of(frozenset({"acme"}))
    yield create_app(lend=readers.lend_to, metrics=ServiceMetrics(), authenticate=authenticate, is_local=False)
    readers.close()


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """Every method and address, those of the described API and the others."""
    described = app.openapi()["paths"]
    found = [(method.upper(), path) for path, methods in described.items() for method in methods]
    for route in app.routes:
        if isinstance(route, Route) and route.path not in described:
            found += [(method, route.path) for method in (route.methods or set()) - {"HEAD"}]
    return found


def test_each_route_takes_the_scopes_that_the_reference_names(nowhere: FastAPI) -> None:
    """Every scope, none, and two of which one is right, on every route."""
    client = TestClient(nowhere, raise_server_exceptions=False)
    tried = operations(nowhere)
    assert {("GET", "/"), ("GET", "/v1/costs"), ("GET", "/metrics"), ("GET", "/healthz")} <= set(tried)
    for method, path in tried:
        address = path.replace("{trace_id}", "f" * 32).replace("{name}", "b").replace("{name:path}", "favicon.svg")
        needed, body = scopes_of(method, path), BODIES.get(path.rpartition("/")[2])
        bearers = {(scope,): needed is None or scope in needed for scope in TokenScope}
        if needed is not None:
            bearers[TokenScope.INGEST, next(iter(needed))] = True
        for scopes, is_let_in in bearers.items():
            headers = {"Authorization": f"Bearer {','.join(scopes)}"}
            status = client.request(method, address, headers=headers, json=body).status_code
            assert (status != 403, status != 401) == (is_let_in, True), f"{method} {path} with {scopes}: {status}"
        is_refused = client.request(method, address, json=body).status_code == 401
        assert is_refused == (needed is not None), f"{method} {path}"


@pytest.mark.parametrize(
    ("tenants", "seen"),
    [
        ({"acme", "beta"}, ["acme", "beta"]),
        ({"acme", "globex"}, ["acme"]),
        ({"beta", "globex"}, ["beta"]),
        ({"*"}, ["acme", "beta"]),
    ],
)
def test_a_token_of_several_tenants_sees_those(filled: str, tenants: set[str], seen: list[str]) -> None:
    """In sums, lists and by name; what is not theirs is 404."""
    readers = ReaderPool(filled)
    authenticate = bearer_of(frozenset(tenants))
    app = create_app(lend=readers.lend_to, metrics=ServiceMetrics(), authenticate=authenticate, is_local=False)
    client = TestClient(app, headers={"Authorization": "Bearer read"})
    try:
        period = {"start_date": "2020-01-01", "end_date": "2100-01-01"}
        for by in ("tenant", "tenant,user"):
            groups = client.get("/v1/costs", params=period | {"group_by": by}).json()["data"]["groups"]
            assert sorted({group["tenant_id"] for group in groups}) == seen
        for tenant in ("acme", "beta", "globex"):
            named = client.get("/v1/costs", params=period | {"tenant": tenant})
            assert named.status_code == (200 if tenant in tenants or "*" in tenants else 404)
        found = client.get(f"/v1/workflows/{SUPPORT_CALL.hex()}/cost").status_code
        assert found == (200 if "acme" in seen else 404)
        page = client.get("/").text
        assert ("acme" in page, "beta" in page) == ("acme" in seen, "beta" in seen)
    finally:
        readers.close()
