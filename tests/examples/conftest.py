"""What every example needs: terminals, a service on the test's own database, the fakes of the vendors."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.examples.shell import Shell
from tests.support.ports import free_ports
from tests.support.stored import as_url
from tests.support.waiting import wait_until


@dataclass
class Ports:
    """Where callfare listens in this test."""

    grpc: int
    http: int
    web: int


@dataclass
class Books:
    """What has been stored."""

    url: str

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database answers."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(query.encode()).fetchall()

    def costs(self, count: int = 1, *, columns: str = "tenant_id, status, cost_usd") -> list[tuple[Any, ...]]:
        """The records in order of their start, once there are so many; more than that fails the test."""
        query = f"select {columns} from callfare.cost_record order by started_at"
        found: list[tuple[Any, ...]] = []

        def has_enough() -> bool:
            found[:] = self.rows(query)
            return len(found) >= count

        try:
            wait_until(f"{count} records", has_enough)
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {found}") from None
        assert len(found) == count, found
        return found


@pytest.fixture
def books(database_url: str) -> Books:
    return Books(as_url(database_url))


@pytest.fixture
def ports() -> Ports:
    return Ports(*free_ports(3))


@pytest.fixture
def operator(tmp_path: Path, books: Books, ports: Ports) -> Shell:
    """The terminal in which the service runs and reports are asked for."""
    (tmp_path / "operator").mkdir()
    return Shell(
        tmp_path / "operator",
        {
            "CALLFARE_DATABASE_URL": books.url,
            "CALLFARE_OTLP_GRPC_ADDR": f"127.0.0.1:{ports.grpc}",
            "CALLFARE_OTLP_HTTP_ADDR": f"127.0.0.1:{ports.http}",
            "CALLFARE_WEB_ADDR": f"127.0.0.1:{ports.web}",
            "CALLFARE_PROCESSES": "1",  # starts sooner; the tutorial has the default
        },
    )


@pytest.fixture(scope="session")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The stand-in for OpenAI, started as the documents say; the variables it prints."""
    shell = Shell(tmp_path_factory.mktemp("vendor"))
    with shell.background("python examples/fake_openai.py", until=r"OPENAI_BASE_URL=\S+\n") as log:
        yield dict(word.split("=", 1) for word in log.read_text().split()[1:])


@pytest.fixture
def application(tmp_path: Path, ports: Ports, vendor: dict[str, str]) -> Shell:
    """The terminal in which the application runs: it knows its vendor, and what the document says."""
    (tmp_path / "application").mkdir()
    return Shell(
        tmp_path / "application",
        # FastAPI's takes a second to import, in each program; tests/examples/test_web_servers.py has it.
        {**vendor, "TRACELOOP_TELEMETRY": "false", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "fastapi"},
        {"127.0.0.1:4317": f"127.0.0.1:{ports.grpc}", "127.0.0.1:4318": f"127.0.0.1:{ports.http}"},
    )


@pytest.fixture
def service(operator: Shell) -> Iterator[Callable[[str], None]]:
    """Start the service by the commands of a document."""
    with ExitStack() as running:

        def start(commands: str) -> None:
            running.enter_context(operator.background(commands, until=r"(?m)^database postgresql://.*\n"))

        yield start
