"""Revenue and fee rules in the database: the views work out what a workflow earned by them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

import psycopg

__all__ = ["Fee", "Revenue", "sync_rules"]


class Revenue(Protocol):
    """What a customer pays for a workflow of this name and outcome; no outcome means any."""

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
        cursor.execute("lock table callfare.revenue_rule, callfare.fee_rule in exclusive mode")
        cursor.execute("delete from callfare.revenue_rule")
        cursor.execute("delete from callfare.fee_rule")
        cursor.executemany(
            "insert into callfare.revenue_rule (position, workflow, outcome, amount) values (%s, %s, %s, %s)",
            [(position, rule.workflow, rule.outcome, rule.amount) for position, rule in enumerate(revenue)],
        )
        cursor.executemany(
            "insert into callfare.fee_rule (position, percent, fixed) values (%s, %s, %s)",
            [(position, fee.percent, fee.fixed) for position, fee in enumerate(fees)],
        )
        cursor.execute("update callfare.margin_rule set earns_when_failed = %s", (earns_when_failed,))
