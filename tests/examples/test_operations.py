"""The pages of docs/operations, run as they are written."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from cost_exporter.store.database.roles import notes_on_login, problems_of_roles
from tests.examples.conftest import Books, Ports
from tests.examples.documents import blocks
from tests.examples.shell import Shell
from tests.examples.test_recipes import ANSWER, CHAT_USD
from tests.support.stored import as_url, filling, running_service, send

pytestmark = pytest.mark.slow


@pytest.fixture
def terminal(tmp_path: Path, books: Books, ports: Ports, vendor: dict[str, str]) -> Shell:
    """The terminal of whoever puts it on the network; its ports are free ones."""
    (tmp_path / "terminal").mkdir()
    moved = {f"0.0.0.0:{shown}": f"0.0.0.0:{used}" for shown, used in _ports(ports)}
    moved |= {f"localhost:{shown}": f"localhost:{used}" for shown, used in _ports(ports)}
    variables = {**vendor, "CALLFARE_DATABASE_URL": books.url, "TRACELOOP_TELEMETRY": "false"}
    return Shell(tmp_path / "terminal", variables, moved)


def _ports(ports: Ports) -> list[tuple[int, int]]:
    return [(4317, ports.grpc), (4318, ports.http), (4319, ports.web)]


@pytest.fixture
def exposed(terminal: Shell) -> Iterator[Shell]:
    """The service as the page starts it, with the page's certificate and tokens."""
    page = blocks("../operations/network")
    terminal.run(page["app certificate"])
    listed = terminal.run(page["app tokens"])
    assert "acme,globex" in listed
    with terminal.background(page["service"], until=r"(?m)^database postgresql://.*\n"):
        yield terminal


def test_on_the_network_with_tls_and_tokens(exposed: Shell, books: Books, ports: Ports) -> None:
    """docs/operations/network.md: an application sends, the commands show what the page says, a browser logs in."""
    page = blocks("../operations/network")
    assert exposed.run(page["app send"]) == ANSWER
    assert books.costs() == [("acme", "priced", CHAT_USD)]
    assert exposed.run(page["verify"]).split()[:3] == page["output"].split()[:3]
    trusted = ssl.create_default_context(cafile=str(exposed.folder / "callfare.crt"))
    browser: dict[str, Any] = {"headers": {"accept": "text/html"}, "verify": trusted, "trust_env": False}
    with httpx.Client(base_url=f"https://localhost:{ports.web}", timeout=60, **browser) as person:
        assert (person.get("/").status_code, "Log in" in person.get("/").text) == (401, True)
        token = (exposed.folder / "people.token").read_text().strip()
        assert person.post("/login", data={"token": token, "next": "/"}).status_code == 303
        shown = person.get("/")
        assert (shown.status_code, "acme" in shown.text) == (200, True)


def test_back_up_restore_and_upgrade(terminal: Shell, books: Books, postgres_url: str) -> None:
    """docs/operations/backup.md: the restored database has the same figures, balances, and keeps tenants apart."""
    page = blocks("../operations/backup")
    with running_service(books.url) as addresses:
        send(addresses["grpc"], filling(1_790_000_000 * 10**9))
    report = "callfare report --since 2020-01-01 --until 2100-01-01 --group-by tenant --json"
    before = terminal.run(report)
    programs = terminal.run(page["app programs"]).strip()
    restored = as_url(psycopg.conninfo.make_conninfo(books.url, dbname="callfare_restored"))
    path = f"export PATH={programs}:$PATH RESTORED_DATABASE_URL='{restored}'\n"
    terminal.run(path + page["app backup"])
    try:
        terminal.run(path + page["app restore"])
        terminal.run(path + page["app renumber"])
        with psycopg.connect(restored) as connection:
            assert problems_of_roles(connection) == []
        again = f"export CALLFARE_DATABASE_URL='{restored}'\n"
        assert terminal.run(again + report) == before
        assert terminal.run(again + page["app upgrade"]) == "the schema is up to date\n"
        assert "acme" in terminal.run(again + page["verify"]) + before
        assert terminal.run(again + page["app purge"])
        assert terminal.run(again + page["app retention"])
        assert "MB" in terminal.run(path + again + page["app size"])
        assert terminal.run(again + report) == before
        # docs/operations/network.md: the service's own user works there, and owns nothing.
        terminal.run(path + again + blocks("../operations/network")["app database user"])
        with psycopg.connect(restored, user="callfare_app") as connection:
            assert problems_of_roles(connection) == notes_on_login(connection) == []
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("drop database if exists callfare_restored with (force)")
            connection.execute("drop role if exists callfare_app")
