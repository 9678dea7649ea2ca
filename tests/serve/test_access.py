"""/metrics shows every tenant's spend: outside loopback only a token of scope metrics sees it."""

import logging

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from cost_exporter.errors import Unauthenticated
from cost_exporter.serve.access import OPEN, Access, access_of
from cost_exporter.serve.app import create_app
from cost_exporter.serve.metrics import ServiceMetrics
from cost_exporter.store.reading import ReaderPool
from cost_exporter.store.tokens import Credential, TokenScope


def authenticate(token: str | None) -> Credential | None:
    """Each scope's name is a token of it."""
    if token not in {scope.value for scope in TokenScope}:
        raise Unauthenticated("a token is needed")
    return Credential(tenants=frozenset({"acme"}), scopes=frozenset({TokenScope(token)}))


@pytest.mark.parametrize(
    ("is_local", "token", "status"),
    [
        (False, None, 401),
        (False, "wrong", 401),
        *((False, scope.value, 200 if scope is TokenScope.METRICS else 403) for scope in TokenScope),
        (True, None, 200),
        (True, "wrong", 401),
        (True, "read", 403),
        (True, "metrics", 200),
    ],
)
def test_metrics_need_their_scope(metrics: ServiceMetrics, token: str | None, status: int, *, is_local: bool) -> None:
    """Not even an administrator of one tenant sees what the others spend; a presented token is never ignored."""
    readers = ReaderPool("postgresql://127.0.0.1:1/nowhere")
    app = create_app(lend=readers.lend_to, metrics=metrics, authenticate=authenticate, is_local=is_local)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        client = TestClient(app, raise_server_exceptions=False)
        assert client.get("/metrics", headers=headers).status_code == status
        assert client.get("/healthz", headers=headers).status_code == 200
    finally:
        readers.close()


def test_a_token_for_metrics_reads_nothing_else(metrics: ServiceMetrics) -> None:
    """Whoever scrapes does not see calls."""
    readers = ReaderPool("postgresql://127.0.0.1:1/nowhere")
    client = TestClient(create_app(lend=readers.lend_to, metrics=metrics, authenticate=authenticate, is_local=False))
    try:
        for path in ("/", "/v1/costs", f"/v1/workflows/{'f' * 32}/cost"):
            assert client.get(path, headers={"Authorization": "Bearer metrics"}).status_code == 403
    finally:
        readers.close()


ACME, BOTH = frozenset({"acme"}), frozenset({"acme", "beta"})


@pytest.mark.parametrize(
    ("tenants", "access", "logged"),
    [(frozenset({"*"}), OPEN, 1), (ACME, Access(tenants=ACME), 0), (BOTH, Access(tenants=BOTH), 0)],
)
def test_reads_across_tenants_are_logged(
    tenants: frozenset[str], access: Access, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A token of all tenants sees them all, and the log says which token read what."""
    request = Request({"type": "http", "method": "GET", "path": "/v1/costs", "query_string": b"", "headers": []})
    credential = Credential(tenants=tenants, scopes=frozenset({TokenScope.READ}), token_id=7)
    with caplog.at_level(logging.INFO, "cost_exporter.audit"):
        found = access_of(request, lambda _: credential)
    assert found == access
    assert ["token 7" in line and "GET /v1/costs" in line for line in caplog.messages] == [True] * logged
