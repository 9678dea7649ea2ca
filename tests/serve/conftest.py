from collections.abc import Iterator

import psycopg
import pytest
from starlette.testclient import TestClient

from cost_exporter.serve.app import create_app
from cost_exporter.serve.metrics import ServiceMetrics
from cost_exporter.store.reading import ReaderPool
from tests.support.stored import filled_database
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="session")
def filled(postgres_url: str) -> Iterator[str]:
    """The URL of a database with two workflows in it."""
    with filled_database(postgres_url, "callfare_filled_for_serve") as url:
        yield url


@pytest.fixture
def metrics() -> ServiceMetrics:
    """Metrics of this test's own."""
    return ServiceMetrics()


@pytest.fixture
def web(filled: str, metrics: ServiceMetrics, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The web application on the filled database, which is there, however long a connection takes."""
    monkeypatch.setattr("cost_exporter.store.reading._POOL_WAIT_SECONDS_MAX", PATIENCE_SECONDS)
    yield from client(filled, metrics)


@pytest.fixture
def web_without_database(metrics: ServiceMetrics) -> Iterator[TestClient]:
    """The web application with nothing behind it."""
    yield from client("postgresql://me:geheim@127.0.0.1:1/nowhere", metrics)


def client(url: str, metrics: ServiceMetrics) -> Iterator[TestClient]:
    readers = ReaderPool(url)
    app = create_app(
        lend=readers.lend_to,
        lend_stream=readers.lend_stream_to,
        lend_budgets=lambda: psycopg.connect(url, autocommit=True),
        metrics=metrics,
    )
    try:
        yield TestClient(app, raise_server_exceptions=False)
    finally:
        readers.close()
