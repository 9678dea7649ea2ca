"""The accounts of a call: which they are, locked in the order of their ids, and what they spent and hold.

The rule that must never break: what remains is read by a statement that begins after the locks were got. A statement
that waits for a lock goes on with the snapshot it had before it waited, in which the grant that it waited for is
missing; two grants of 0.6 would both fit into 1.0. `callfare.locked_budgets` runs both statements in one round trip.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from cost_exporter.domain.budget import BudgetState
from cost_exporter.store.database.session import open_pool
from cost_exporter.store.database.statements import statement
from cost_exporter.store.database.unreachable import unreachable

__all__ = [
    "CallScope",
    "Connection",
    "accounts_of",
    "in_one_go",
    "keep_plans",
    "lender_of",
    "locked_budgets",
    "open_budget_pool",
    "state_of",
]

Connection = psycopg.Connection[Any]
_POOL_CONNECTIONS_MAX = 8
_POOL_WAIT_SECONDS_MAX = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallScope:
    """The words of a call that budgets go by; None where the call has none."""

    tenant: str
    api_key: str | None = None
    user: str | None = None
    category: str | None = None
    provider: str | None = None
    model: str | None = None

    def parameters(self) -> dict[str, str | None]:
        """Return them as statements take them."""
        return {
            "tenant": self.tenant,
            "api_key": self.api_key,
            "user": self.user,
            "category": self.category,
            "provider": self.provider,
            "model": self.model,
        }


def open_budget_pool(database_url: str) -> ConnectionPool[Connection]:
    """Return connections for reserving. Planning takes longer than running these."""
    return open_pool(
        database_url,
        size_max=_POOL_CONNECTIONS_MAX,
        wait_seconds_max=_POOL_WAIT_SECONDS_MAX,
        name="budgets",
        configure=keep_plans,
    )


def lender_of(pool: ConnectionPool[Connection]) -> Callable[[], AbstractContextManager[Connection]]:
    """Return what lends connections of the pool. Raises `StoreUnavailable` where there is none in time."""

    @contextmanager
    def lend() -> Generator[Connection]:
        try:
            with pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise unreachable(error) from error

    return lend


def keep_plans(connection: Connection) -> None:
    """Let a connection plan each statement once."""
    connection.prepare_threshold = 0
    connection.execute("set plan_cache_mode = force_generic_plan")


@contextmanager
def in_one_go(connection: Connection) -> Generator[None]:
    """Run a transaction whose statements are sent without waiting for the answers that nobody asks for."""
    with connection.pipeline(), connection.transaction():
        yield


def locked_budgets(connection: Connection, scope: CallScope, at: datetime | None = None) -> list[BudgetState]:
    """Return what the accounts of the call spent and hold, locked until the end of the transaction."""
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(statement("locked_budgets"), scope.parameters() | {"at": at})
        return [_state(row) for row in cursor.fetchall()]


def accounts_of(connection: Connection, scope: CallScope) -> list[int]:
    """Return the accounts of the call, not locked."""
    parameters = scope.parameters()
    connection.execute(statement("open_accounts"), parameters)
    return [account_id for (account_id,) in connection.execute(statement("accounts_of_call"), parameters).fetchall()]


def state_of(connection: Connection, account_ids: Sequence[int], at: datetime | None = None) -> list[BudgetState]:
    """Return what the accounts spent and hold now, or at a time."""
    if not account_ids:
        return []
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("state_of_accounts"), {"account_ids": list(account_ids), "at": at}).fetchall()
    return [_state(row) for row in rows]


def _state(row: dict[str, Any]) -> BudgetState:
    return BudgetState(
        account_id=row["account_id"],
        name=row["name"],
        tenant=row["tenant_id"],
        time_window=row["time_window"],
        window_start=row["window_start"],
        resets_at=row["resets_at"],
        limit_usd=row["limit_usd"],
        spent_usd=row["spent_usd"],
        reserved_usd=row["reserved_usd"],
        enforcement=row["enforcement"],
        unpriced=row["unpriced"],
        assumed_usd=row["assumed_usd"],
        lease_count=row["lease_count"],
    )
