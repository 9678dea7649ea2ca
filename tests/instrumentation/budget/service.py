"""A service whose budgets the tests share, and what it holds."""

from decimal import Decimal as D
from typing import Any

import psycopg

from cost_exporter.receive.http.server import HttpServer
from cost_exporter.serve.app import create_app
from cost_exporter.serve.metrics import ServiceMetrics
from cost_exporter.settings import Address
from cost_exporter.store.budgets.accounts import lender_of, open_budget_pool
from cost_exporter.store.budgets.definitions import BudgetSpec, put_budget
from cost_exporter.store.reading import ReaderPool

Database = psycopg.Connection[Any]


class Service:
    """The web address of a service on a database, which can be stopped."""

    def __init__(self, url: str) -> None:
        self.readers, self.pool = ReaderPool(url), open_budget_pool(url)
        app = create_app(lend=self.readers.lend, lend_budgets=lender_of(self.pool), metrics=ServiceMetrics())
        self.server = HttpServer(app, option="--web", grace_seconds=1)
        self.url = f"http://{self.server.start(Address(host='127.0.0.1', port=0), None)}"

    def stop(self) -> None:
        self.server.stop()
        self.pool.close()
        self.readers.close()


def set_budget(database: Database, limit: str, **given: Any) -> None:
    fields: dict[str, Any] = {"tenant": "acme", "time_window": "total", "enforcement": "hard", "unpriced": "refuse"}
    put_budget(database, BudgetSpec(name="acme", limit_usd=D(limit), **(fields | given)))


def held(database: Database) -> D:
    row = database.execute("select coalesce(sum(reserved_usd), 0) from callfare.budget_status").fetchone()
    assert row is not None
    return row[0]
