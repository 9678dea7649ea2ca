"""Revenue and fee rules in the database: the views work out what a workflow earned by them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

import psycopg

from cost_exporter.store.database.statements import statement

__all__ = ["Fee", "Revenue", "sync_rules"]


class Revenue(Protocol):
    """Revenue of a workflow of this name and outcome; no outcome means any."""

    @property
    def workflow(self) -> str: ...
    @property
    def outcome(self) -> str | None: ...
    @property
    def amount(self) -> Decimal: ...


class Fee(Protocol):
    """The payment fee on revenue."""

    @property
    def percent(self) -> Decimal: ...
    @property
    def fixed(self) -> Decimal: ...


def sync_rules(
    connection: psycopg.Connection[Any],
    revenue: Sequence[Revenue],
    fees: Sequence[Fee],
    *,
    earns_when_failed: bool = False,
) -> None:
    """Make the rules in the database those of the configuration, in its order."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(statement("lock_rules"))
        cursor.execute(statement("delete_revenue_rules"))
        cursor.execute(statement("delete_fee_rules"))
        cursor.executemany(
            statement("insert_revenue_rule"),
            [(position, rule.workflow, rule.outcome, rule.amount) for position, rule in enumerate(revenue)],
        )
        cursor.executemany(
            statement("insert_fee_rule"),
            [(position, fee.percent, fee.fixed) for position, fee in enumerate(fees)],
        )
        cursor.execute(statement("update_margin_rule"), {"earns_when_failed": earns_when_failed})
