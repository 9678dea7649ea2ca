"""docs/how-to/month-end.md, run as it is written: close, export, validate, and reconcile with three differences."""

import json
from decimal import Decimal as D
from pathlib import Path

import psycopg
import pytest
from pyarrow import parquet

from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.price_books import current_book
from tests.cli.test_focus_validator import newer_python, validator
from tests.cli.test_reconcile import OPENAI_COSTS, OPENAI_USAGE, calls, openai_pages
from tests.end_to_end.binaries import unavailable
from tests.examples.conftest import Books
from tests.examples.documents import blocks
from tests.examples.shell import Shell
from tests.store.requests import request

pytestmark = pytest.mark.slow


def test_month_end(tmp_path: Path, books: Books) -> None:
    """The month is closed, the files add up to it, and the three planted differences are found, and no other."""
    page = blocks("month-end")
    with psycopg.connect(books.url) as connection:
        ledger = LedgerStore(books.url)
        ledger.commit([request(*calls())], current_book(connection).price_of_call)
        ledger.close()
        (spent,) = connection.execute("select sum(cost_usd) from callfare.daily_cost").fetchone() or (D(0),)
    home = tmp_path / "home"
    (home / "finance").mkdir(parents=True)
    reader = Shell(home, {"HOME": str(home), "CALLFARE_DATABASE_URL": books.url})
    reader.run(page["app unpriced"])
    assert "2026-09 is closed for every tenant" in reader.run(page["app close"])
    reader.run(page["app export"])
    rows = parquet.read_table(home / "finance/2026-09.parquet").to_pylist()
    assert sum(row["BilledCost"] for row in rows) == spent
    assert {path.name for path in (home / "finance").iterdir()} >= {"2026-09.csv", "2026-09.xlsx", "unpriced.csv"}

    usage = {**OPENAI_USAGE, "o3-2025-04-16": {"input_tokens": 10, "output_tokens": 5}}
    costs = {**OPENAI_COSTS, "text-embedding-3-small, input": 0.00003, "vector store storage": 1.25}
    (home / "finance/openai.json").write_text(json.dumps(openai_pages(usage, costs)), encoding="utf-8")
    compared = reader.run(page["app reconcile"])
    for outcome in ("1 matched", "1 missing spans", "1 not mappable", "1 price differs"):
        assert outcome in compared, compared

    reader.run(page["app verify"])  # exits 1 where a total is not that of its records

    python = newer_python()
    if python is None:
        unavailable("all but the validator ran: it needs Python 3.12, which is not here")
    programs = validator(python).parent
    failed = reader.run(f"export PATH={programs}:$PATH\n{page['app validate']}")
    assert [line.split()[1] for line in failed.splitlines()] == ["InvoiceId-C-005-C"]
