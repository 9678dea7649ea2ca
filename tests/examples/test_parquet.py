"""docs/how-to/parquet.md, run as it is written: export, ask, and the same sum by DuckDB and ClickHouse alone."""

from decimal import Decimal as D
from pathlib import Path

import psycopg
import pytest

from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import call, price_by_sum
from tests.examples.conftest import Books
from tests.examples.documents import blocks, check_output
from tests.examples.shell import Shell
from tests.store.requests import request
from tests.store.test_journal import make_final

pytestmark = pytest.mark.slow


def test_files_beside_the_ledger(tmp_path: Path, books: Books) -> None:
    """Each engine gives the ledger's sum, also after a correction, and beside what a killed run left."""
    page = blocks("parquet")
    ledger = LedgerStore(books.url)
    reader = Shell(tmp_path, {"HOME": str(tmp_path), "CALLFARE_DATABASE_URL": books.url})
    reader.variables["CALLFARE_EXPORT_TO"] = str(tmp_path / "lake")
    with psycopg.connect(books.url, autocommit=True) as connection:
        ledger.commit([request(call("a"), call("b"))], price_by_sum)
        make_final(connection)
        assert "nothing new" in reader.run(page["app export"]).splitlines()[-1]
        ledger.commit([request(call("a", end_ms=5000, quantities={"characters": 99}))], price_by_sum)
        ledger.close()
        assert reader.run(page["app export"]).startswith("2 rows in 1 files, ")
        (spent,) = connection.execute("select sum(cost_usd) from callfare.daily_cost").fetchone() or (D(0),)
    check_output("parquet", reader.run(page["verify"]))
    parts = sorted((tmp_path / "lake").glob("day=*/*.parquet"))
    parts[0].with_name(parts[0].name.replace("-000.", "-001.")).write_bytes(parts[0].read_bytes())
    assert f"2026-09-21,{spent.normalize():f}" in reader.run(page["app query"])
    for engine in ("duckdb", "clickhouse"):
        assert D(reader.run(page[f"app {engine}"]).strip()) == spent, engine
