"""A ledger, and a place that it exports to."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cost_exporter.lake.place import Place
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.lake.exported import Lake


@pytest.fixture
def lake(database_url: str, tmp_path: Path) -> Iterator[Lake]:
    ledger = LedgerStore(database_url)
    with psycopg.connect(database_url, autocommit=True) as database:
        yield Lake(ledger=ledger, database=database, database_url=database_url, place=Place(str(tmp_path / "lake")))
    ledger.close()
