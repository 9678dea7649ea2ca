"""Servers with several workers, as docs/how-to/web-servers.md starts them: every request of every worker is billed."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider

from callfare.asgi import CallfareMiddleware
from callfare.provider.context import attribution_of
from tests.examples.documents import blocks
from tests.examples.test_recipes import CHAT_USD
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.slow

REQUESTS = 24
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.fixture
def web(application) -> str:
    """Where the web server of the document listens in this test."""
    (port,) = free_ports(1)
    application.moved |= {"127.0.0.1:8000": f"127.0.0.1:{port}", "--port 8000": f"--port {port}"}
    del application.variables["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"]
    # A worker that does not answer within 5 s of its start is killed and started anew: on a busy machine, for ever.
    application.variables |= {"UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "300", "GUNICORN_CMD_ARGS": "--timeout 300"}
    return f"http://127.0.0.1:{port}"


def ask_until_both_workers_answered(url: str, **headers: str) -> int:
    """Ask at least REQUESTS times; the number of answers.

    Each question waits for its answer, however long a worker takes to load: one that was given up would still be
    answered later, and billed.
    """
    workers: set[str] = set()
    asked = 0
    with (
        httpx.Client(headers=headers | {"connection": "close"}, timeout=PATIENCE_SECONDS) as client,
        ThreadPoolExecutor(4) as pool,
    ):

        def ask(_: int) -> str:
            answer = client.get(url)
            assert answer.text == "Your order leaves today."
            return answer.headers["x-worker"]

        def have_all_answered() -> bool:
            nonlocal asked
            workers.update(pool.map(ask, range(4)))
            asked += 4
            return asked >= REQUESTS and len(workers) == 2

        wait_until("an answer of each worker", have_all_answered)
    return asked


@pytest.mark.parametrize("variant", [pytest.param("gunicorn", marks=pytest.mark.full), "gunicorn-preload"])
def test_gunicorn(service, application, books, web, variant) -> None:
    """Two forked workers, the application loaded after or before the fork: one record a request."""
    service(blocks("direct")["service"])
    recipe = blocks("web-servers")[f"web {variant}"]
    with application.background(recipe, until=r"(?s)Booting worker.*Booting worker") as log:
        asked = ask_until_both_workers_answered(web)
    assert "Traceback" not in log.read_text()
    assert set(books.costs(asked)) == {("acme", "priced", CHAT_USD)}


def test_uvicorn(service, operator, application, books, web) -> None:
    """Two started workers and the middleware: each request is on the account that its headers name.

    A caller whose trace is not sampled (traceparent ending in -00) is billed as well; in its own trace, as it asked.
    """
    service(blocks("direct")["service"])
    recipe = blocks("web-servers")
    account = {"x-tenant": "acme", "x-unkey-key-id": "key_1"}
    with application.background(recipe["web uvicorn"], until=r"(?s)startup complete.*startup complete") as log:
        asked = ask_until_both_workers_answered(f"{web}/ask", **account)
        for _ in range(2):
            httpx.get(f"{web}/ask", headers={"traceparent": UNSAMPLED, **account}, timeout=PATIENCE_SECONDS)
    assert "Traceback" not in log.read_text()
    found = books.costs(asked + 2, columns="tenant_id, api_key_id, category, status, cost_usd")
    assert set(found) == {("acme", "key_1", "bot", "priced", CHAT_USD)}
    unsampled = f"select count(*) from callfare.cost_record where trace_id = '{UNSAMPLED.split('-')[1]}'"
    assert books.rows(unsampled) == [(2,)]
    assert f"total ${(asked + 2) * CHAT_USD}".rstrip("0") in operator.run(recipe["verify"])


@pytest.mark.parametrize(("is_inside", "tenant"), [(True, "acme"), (False, None)])
def test_the_middleware_belongs_inside_the_servers_span(is_inside, tenant) -> None:
    """Wrapped around a framework's own instrumentation, what it says is forgotten: as the how-to warns."""
    seen: list[object] = []

    async def application(scope, receive, send) -> None:
        seen.append(attribution_of().get("callfare.tenant.id"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def ours(app):
        return CallfareMiddleware(app, tenant_header="x-tenant")

    def theirs(app):
        return OpenTelemetryMiddleware(app, tracer_provider=TracerProvider(shutdown_on_exit=False))

    app = theirs(ours(application)) if is_inside else ours(theirs(application))

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            await client.get("/", headers={"x-tenant": "acme"})

    asyncio.run(ask())
    assert seen == [tenant]
