"""Leases: a process gets a slice of its budgets and decides on its calls by itself.

At every grant, in every hard budget: spent + what leases were granted and has not arrived + reservations <= limit.
What arrives is counted by the transaction that stores a span with the lease's id. A lease that is returned gives back
only what its process let no call use; the rest is held until the spans arrive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg.rows import dict_row

from cost_exporter.domain.budget import (
    RENEW_EVERY_SECONDS,
    BudgetState,
    LeaseAsked,
    LeaseGrant,
    lease_grant,
    without_lease,
)
from cost_exporter.domain.money import ZERO
from cost_exporter.store.budgets.accounts import CallScope, Connection, in_one_go, locked_budgets, state_of
from cost_exporter.store.budgets.reserving import again, insert_hold
from cost_exporter.store.database.statements import statement

__all__ = ["Lease", "beat", "dimensions", "lease", "return_lease"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The slice that a process may use on its own."""

    lease_id: str | None
    """None: it has to ask for each call, or no budget applies."""
    granted_usd: Decimal
    """In all, what its calls took before included."""
    budgets: tuple[BudgetState, ...]
    reserves_each_call: bool = False
    renew_after_seconds: int = RENEW_EVERY_SECONDS


def lease(
    connection: Connection,
    scope: CallScope,
    asked: LeaseAsked,
    *,
    namespace: str,
    process_id: str,
    lease_id: str | None = None,
    at: datetime | None = None,
) -> Lease:
    """Grant a lease, or more of one. One whose window is over, or whose budgets changed, is returned for a new one."""

    def once() -> Lease:
        with in_one_go(connection):
            budgets = locked_budgets(connection, scope, at)
            own = _own_holds(connection, lease_id, namespace)
            if own and not _is_same(own, budgets):
                assert lease_id is not None
                _return(connection, lease_id, asked.admitted_usd)
                budgets, own = state_of(connection, [budget.account_id for budget in budgets], at), []
            if not budgets:
                return Lease(lease_id=None, granted_usd=ZERO, budgets=())
            if own:
                assert lease_id is not None
                return _more(connection, lease_id, own, budgets, asked)
            fresh = LeaseAsked(estimate_usd=asked.estimate_usd, rate_usd=asked.rate_usd)
            grant = lease_grant(budgets, fresh, own_held_usd=ZERO)
            if grant.reserves_each_call:
                return _lease(None, grant, budgets)
            holds = {budget.account_id: grant.granted_usd for budget in budgets}
            made = insert_hold(
                connection,
                budgets,
                holds,
                kind="lease",
                namespace=namespace,
                tenant=scope.tenant,
                process_id=process_id,
            )
            return _lease(made, grant, budgets)

    return again(once)


def return_lease(connection: Connection, lease_id: str, admitted_usd: Decimal, *, namespace: str) -> bool:
    """Give back what a lease was granted and let no call use. Returns whether there is such a lease."""

    def once() -> bool:
        with in_one_go(connection):
            if not _is_lease(connection, lease_id, namespace):
                return False
            _return(connection, lease_id, admitted_usd)
            return True

    return again(once)


def beat(connection: Connection, reservation_ids: Sequence[str], *, namespace: str) -> None:
    """Note that the calls of these reservations are under way."""
    if reservation_ids:
        parameters = {"reservation_ids": list(reservation_ids), "namespace": namespace}
        connection.execute(statement("beat"), parameters)


def dimensions(connection: Connection, tenant: str) -> dict[str, list[str]]:
    """Return what the budgets of a tenant distinguish: calls that differ in nothing of it may share a lease."""
    found: dict[str, list[str]] = {}
    for dimension, word in connection.execute(statement("budget_dimensions"), {"tenant": tenant}).fetchall():
        found.setdefault(dimension, []).append(word)
    return found


def _more(
    connection: Connection,
    lease_id: str,
    own: Sequence[dict[str, Any]],
    budgets: Sequence[BudgetState],
    asked: LeaseAsked,
) -> Lease:
    """Grant a lease more, or less where little remains."""
    arrived_usd: Decimal = own[0]["arrived_usd"]
    held_usd = {row["account_id"]: max(ZERO, row["granted_usd"] - arrived_usd) for row in own}
    others = [without_lease(budget, held_usd[budget.account_id]) for budget in budgets]
    grant = lease_grant(others, asked, own_held_usd=max(ZERO, asked.admitted_usd - arrived_usd))
    parameters = {"reservation_id": lease_id, "granted_usd": grant.granted_usd}
    connection.execute(statement("grant_lease"), parameters)
    return _lease(lease_id, grant, budgets)


def _lease(lease_id: str | None, grant: LeaseGrant, budgets: Sequence[BudgetState]) -> Lease:
    return Lease(
        lease_id=lease_id,
        granted_usd=grant.granted_usd,
        budgets=tuple(budgets),
        reserves_each_call=grant.reserves_each_call,
    )


def _own_holds(connection: Connection, lease_id: str | None, namespace: str) -> list[dict[str, Any]]:
    """Return what a lease that is in use holds; nothing where there is none."""
    if lease_id is None or not _is_lease(connection, lease_id, namespace, ("open", "expired")):
        return []
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement("lease_holds"), {"reservation_id": lease_id}).fetchall()


def _is_lease(
    connection: Connection,
    lease_id: str,
    namespace: str,
    states: Sequence[str] = ("open", "expired", "returned"),
) -> bool:
    parameters = {"reservation_id": lease_id, "namespace": namespace}
    row = connection.execute(statement("lock_reservation"), parameters).fetchone()
    return row is not None and row[0] == "lease" and row[1] in states


def _is_same(own: Sequence[dict[str, Any]], budgets: Sequence[BudgetState]) -> bool:
    """Whether the lease is on these budgets, and in the windows that they have now."""
    return {(row["account_id"], row["window_start"]) for row in own} == {
        (budget.account_id, budget.window_start) for budget in budgets
    }


def _return(connection: Connection, lease_id: str, admitted_usd: Decimal) -> None:
    connection.execute(statement("grant_lease"), {"reservation_id": lease_id, "granted_usd": admitted_usd})
    connection.execute(statement("close_reservation"), {"reservation_id": lease_id, "state": "returned"})
