"""A ledger and budgets on a database of the test's own, at a fixed instant."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cost_exporter.store.budgets.accounts import keep_plans
from cost_exporter.store.ledger.ledger import LedgerStore


@pytest.fixture
def ledger(database_url: str) -> Iterator[LedgerStore]:
    store = LedgerStore(database_url)
    yield store
    store.close()


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        keep_plans(connection)
        yield connection
