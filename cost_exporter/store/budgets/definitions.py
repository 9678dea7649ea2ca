"""Budgets as they were set: by the configuration file, or by name from the command line and the API.

The file wins: a budget in it is changed there. What is taken out of the file is forgotten at the next
start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, cast

import psycopg
from psycopg.rows import dict_row

from cost_exporter.domain.budget import Enforcement, TimeWindow, Unpriced
from cost_exporter.domain.provider import canonical_provider
from cost_exporter.errors import CallfareError
from cost_exporter.store.database.statements import statement

__all__ = ["EACH_TENANT", "BudgetSpec", "all_budgets", "put_budget", "remove_budget", "sync_budgets"]

EACH_TENANT: Final = "*"
Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpec:
    """A budget as somebody set it."""

    name: str
    tenant: str
    time_window: TimeWindow
    limit_usd: Decimal
    enforcement: Enforcement = "soft"
    thresholds: tuple[Decimal, ...] = ()
    """Percentages of the limit that are reported as reached."""
    unpriced: Unpriced = "allow"
    assumed_usd: Decimal | None = None
    api_key: str | None = None
    user: str | None = None
    category: str | None = None
    provider: str | None = None
    model: str | None = None
    raised_by_usd: Decimal | None = None
    """Added to the limit until `raised_until`."""
    raised_until: datetime | None = None
    is_from_file: bool = False


def put_budget(connection: Connection, spec: BudgetSpec, *, only_tenant: str | None = None) -> None:
    """Set a budget, or change it. Raises `CallfareError` where the configuration file has one of this name.

    `only_tenant` may change nothing of others.
    """
    with connection.transaction():
        known = _named(connection, spec.name)
        if known is not None and known.is_from_file and not spec.is_from_file:
            raise CallfareError(f"budget {spec.name!r} is in the configuration file: change it there and start again")
        if known is not None and only_tenant not in {None, known.tenant}:
            raise CallfareError(f"the name {spec.name!r} is taken: give the budget another one")
        _put(connection, spec)


def remove_budget(connection: Connection, name: str, *, only_tenant: str | None = None) -> bool:
    """Forget a budget and return whether there was one. Raises `CallfareError` where it is in the file.

    `only_tenant` knows of its own alone.
    """
    with connection.transaction():
        known = _named(connection, name)
        if known is None or only_tenant not in {None, known.tenant}:
            return False
        if known.is_from_file:
            raise CallfareError(f"budget {name!r} is in the configuration file: remove it there and start again")
        return connection.execute(statement("remove_budget"), {"name": name}).rowcount > 0


def sync_budgets(connection: Connection, specs: Sequence[BudgetSpec]) -> None:
    """Make the file's budgets those of the configuration. One of the same name that was set otherwise is the file's."""
    with connection.transaction():
        connection.execute(statement("remove_budgets_of_file"), {"names": [spec.name for spec in specs]})
        for spec in sorted(specs, key=lambda each: each.name):
            _put(connection, spec)


def all_budgets(connection: Connection, tenant: str | None = None) -> list[BudgetSpec]:
    """Return the budgets, all or those that apply to a tenant, by name."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [_spec(row) for row in cursor.execute(statement("all_budgets"), {"tenant": tenant}).fetchall()]


def _named(connection: Connection, name: str) -> BudgetSpec | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement("budget_named"), {"name": name}).fetchone()
    return None if row is None else _spec(row)


def _put(connection: Connection, spec: BudgetSpec) -> None:
    connection.execute(statement("lock_accounts_of_budget"), {"name": spec.name})
    connection.execute(
        statement("put_budget"),
        {
            "name": spec.name,
            "tenant": spec.tenant,
            "api_key": spec.api_key,
            "user": spec.user,
            "category": spec.category,
            "provider": None if spec.provider is None else canonical_provider(spec.provider),
            "model": spec.model,
            "time_window": spec.time_window,
            "limit_usd": spec.limit_usd,
            "thresholds": list(spec.thresholds),
            "enforcement": spec.enforcement,
            "unpriced": spec.unpriced,
            "assumed_usd": spec.assumed_usd,
            "raised_by_usd": spec.raised_by_usd,
            "raised_until": spec.raised_until,
            "is_from_file": spec.is_from_file,
        },
    )
    connection.execute(statement("open_own_account"), {"name": spec.name})
    connection.execute(statement("arm_alerts"), {"name": spec.name})


def _spec(row: dict[str, Any]) -> BudgetSpec:
    return BudgetSpec(
        name=row["name"],
        tenant=row["tenant_id"],
        time_window=cast("TimeWindow", row["time_window"]),
        limit_usd=row["limit_usd"],
        enforcement=cast("Enforcement", row["enforcement"]),
        thresholds=tuple(row["thresholds"]),
        unpriced=cast("Unpriced", row["unpriced"]),
        assumed_usd=row["assumed_usd"],
        api_key=row["api_key_id"],
        user=row["user_id"],
        category=row["category"],
        provider=row["provider"],
        model=row["model"],
        raised_by_usd=row["raised_by_usd"],
        raised_until=row["raised_until"],
        is_from_file=row["is_from_file"],
    )
