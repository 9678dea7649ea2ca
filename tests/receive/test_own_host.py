"""On loopback, a request that names another machine is refused."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cost_exporter.receive.http.server import HttpServer
from cost_exporter.receive.own_host import is_own_host
from cost_exporter.settings import Address


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:4319", "localhost.", "app.localhost:1", "127.0.0.1", "127.0.0.1:4319", "127.9.9.9"),
        *("[::1]", "[::1]:4319", "[::ffff:127.0.0.1]:4319", "host.docker.internal:4318"),
    ],
)
def test_names_of_this_machine(host: str) -> None:
    """Loopback addresses and the names that stand for them, with any port."""
    assert is_own_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:4319", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost"),
        *("", ":4319", "10.0.0.1", "0.0.0.0:4319", "[::]", "[::2]:4319", "[", "[::1", "evil.example@localhost.evil"),
    ],
)
def test_other_names(host: str) -> None:
    """Everything else, also what only looks like it or cannot be read."""
    assert not is_own_host(host)


@pytest.mark.parametrize(("listens_on", "expected"), [("127.0.0.1", 403), ("0.0.0.0", 200)])
def test_only_loopback_checks(listens_on: str, expected: int) -> None:
    """Elsewhere the service has names that it does not know, and tokens."""

    def hello(_: Request) -> Response:
        return PlainTextResponse("hello")

    server = HttpServer(Starlette(routes=[Route("/", hello)]), option="--web")
    port = server.start(Address(host=listens_on, port=0)).port
    try:
        with httpx.Client(trust_env=False, timeout=60) as client:
            url = f"http://127.0.0.1:{port}/"
            assert client.get(url).status_code == 200
            assert client.get(url, headers={"Host": "evil.example"}).status_code == expected
    finally:
        server.stop()
