"""A running service takes over new prices by itself, and prices what had none."""

import time
from decimal import Decimal as D
from pathlib import Path

import psycopg

from cost_exporter.prices.price_file import read_price_file
from cost_exporter.store.price_books import save_price_file
from tests.support.stored import as_url, filling, running_service, send
from tests.support.waiting import wait_until

PRICES = """
prices:
  - {provider: openai, model: "=no-such-model", unit: input_tokens, price: "3", per: "1000000"}
  - {provider: openai, model: "=no-such-model", unit: output_tokens, price: "9", per: "1000000"}
"""


def test_an_unpriced_record_is_priced_when_its_price_is_loaded(database_url: str, tmp_path: Path) -> None:
    """No restart and no command: the version is noticed, the record priced, the rollups moved."""
    path = tmp_path / "ours.yaml"
    path.write_text(PRICES)
    with running_service(as_url(database_url)) as addresses:
        send(addresses["grpc"], filling(time.time_ns()))
        with psycopg.connect(database_url, autocommit=True) as connection:
            assert connection.execute("select sum(unpriced_count) from callfare.workflow_cost").fetchone() == (1,)
            save_price_file(connection, read_price_file(path))
            unpriced = "select sum(unpriced_count) from callfare.workflow_cost"
            wait_until("the record is priced", lambda: connection.execute(unpriced).fetchone() == (0,))
            row = connection.execute(
                "select cost_usd, status from callfare.cost_record where model = '=no-such-model'"
            ).fetchone()
    assert row == (D(3) * 10 / 1_000_000 + D(9) * 10 / 1_000_000, "priced")
