"""Budgets, calls and prices for these tests, in few words."""

from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any

import psycopg

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.budget import BudgetState
from cost_exporter.domain.quote import Quote
from cost_exporter.domain.span import Call
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.store.budgets.accounts import CallScope, accounts_of, state_of
from cost_exporter.store.budgets.definitions import BudgetSpec, put_budget
from tests.domain.builders import T0_UNIX_NS, call, price_by_sum

Database = psycopg.Connection[Any]
NOW = datetime.fromtimestamp(T0_UNIX_NS // 1_000_000_000, UTC)
ACME = CallScope(tenant="acme", category="uncategorised", provider="openai", model="gpt-4o-mini")


def spec(name: str = "acme-day", limit: str = "1", **fields: Any) -> BudgetSpec:
    given: dict[str, Any] = {"tenant": "acme", "time_window": "day", "enforcement": "hard", "unpriced": "refuse"}
    return BudgetSpec(name=name, limit_usd=D(limit), **(given | fields))


def set_budget(database: Database, name: str = "acme-day", limit: str = "1", **fields: Any) -> None:
    put_budget(database, spec(name, limit, **fields))


def state(database: Database, scope: CallScope = ACME, at: datetime = NOW) -> dict[str, BudgetState]:
    return {each.name: each for each in state_of(database, accounts_of(database, scope), at)}


def figures(database: Database, name: str = "acme-day", scope: CallScope = ACME) -> tuple[D, D, D]:
    """Spent, reserved, remaining."""
    found = state(database, scope)[name]
    return found.spent_usd, found.reserved_usd, found.remaining_usd


def spent_call(name: str, micro_usd: int, reservation_id: str | None = "", tenant: str = "acme", **fields: Any) -> Call:
    """A span that costs this, by `price`."""
    given: dict[str, Any] = {
        "call_id": f"response:{name}",
        "reservation_id": (reservation_id or "").replace("-", ""),
        "quantities": {"input_tokens": micro_usd},
        "attribution": Attribution(tenant=tenant),
    }
    return call(name, **(given | fields))


def price(usage: UsageRecord) -> Quote:
    """A micro-dollar a token; no price for the model `unknown`."""
    return Quote(amount_usd=None, status="unpriced") if usage.model == "unknown" else price_by_sum(usage)
