"""A ledger and alerts on a database of the test's own, at a fixed instant. Somebody judges, so marks are made."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cost_exporter.store.budgets.accounts import keep_plans
from cost_exporter.store.database.statements import statement
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
        connection.execute(statement("judge_is_there"))
        yield connection
