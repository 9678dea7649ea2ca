"""One call of a budget: check it, reserve for it, and say what became of it.

A reservation holds its estimate in every budget that applies, or in none. Once the span that carries its id is stored
with a cost, the ledger has the money and nothing is held any more: the same transaction does both. What the caller
says it cost only replaces the estimate until then. A call that was stored at an unknown cost keeps its estimate.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeVar

import psycopg

from cost_exporter.domain.budget import BudgetState, Short, holds_of, refusals, shortfalls, without
from cost_exporter.domain.money import ZERO
from cost_exporter.errors import StoreUnavailable
from cost_exporter.store.budgets.accounts import CallScope, Connection, accounts_of, in_one_go, locked_budgets, state_of
from cost_exporter.store.database.statements import statement

__all__ = [
    "Outcome",
    "Settled",
    "again",
    "check",
    "extend",
    "insert_hold",
    "release",
    "release_expired",
    "reserve",
    "settle",
]

_ATTEMPTS_MAX: Final = 5
_PASSING: Final = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.ForeignKeyViolation,  # a budget was removed between the lock and the write
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Whether a call may go out, and what its budgets say."""

    is_allowed: bool
    budgets: tuple[BudgetState, ...]
    short: tuple[Short, ...]
    """Budgets that the call does not fit into, the tightest first; with soft budgets it is allowed all the same."""
    reservation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The state of a reservation."""

    state: str
    is_late: bool
    """It had expired before."""


def check(
    connection: Connection, scope: CallScope, estimate_usd: Decimal | None, *, at: datetime | None = None
) -> Outcome:
    """Return whether the call would fit now. Nothing is reserved, so a moment later it may not."""
    budgets = state_of(connection, accounts_of(connection, scope), at)
    short = shortfalls(budgets, estimate_usd)
    return Outcome(is_allowed=not refusals(short), budgets=tuple(budgets), short=tuple(short))


def reserve(
    connection: Connection,
    scope: CallScope,
    estimate_usd: Decimal | None,
    *,
    namespace: str,
    process_id: str = "",
    request_key: str | None = None,
    goes_on: bool = False,
    at: datetime | None = None,
) -> Outcome:
    """Reserve for a call in all its budgets or in none. The same `request_key` again returns the first reservation.

    `goes_on` for a call whose cost arrives in parts, each of which takes its own from what is held.
    """

    def once() -> Outcome:
        with in_one_go(connection):
            budgets = tuple(locked_budgets(connection, scope, at))
            known = _known(connection, namespace, request_key)
            if known is not None:
                return Outcome(is_allowed=True, budgets=budgets, short=(), reservation_id=known)
            short = tuple(shortfalls(budgets, estimate_usd))
            if refusals(short):
                return Outcome(is_allowed=False, budgets=budgets, short=short)
            reservation_id = insert_hold(
                connection,
                budgets,
                holds_of(budgets, estimate_usd),
                kind="session" if goes_on else "call",
                namespace=namespace,
                tenant=scope.tenant,
                process_id=process_id,
                request_key=request_key,
            )
            return Outcome(is_allowed=True, budgets=budgets, short=short, reservation_id=reservation_id)

    return again(once)


def extend(
    connection: Connection,
    scope: CallScope,
    reservation_id: str,
    total_usd: Decimal,
    *,
    namespace: str,
    at: datetime | None = None,
) -> Outcome | None:
    """Let a call that goes on hold this in all, what has arrived of it included. None: there is no such call.

    Where a hard budget has not that much, the reservation stays as it was.
    """

    def once() -> Outcome | None:
        with in_one_go(connection):
            budgets = tuple(locked_budgets(connection, scope, at))
            if _locked_call(connection, reservation_id, namespace) not in {"open", "expired"}:
                return None
            arrived_usd, held_usd = _held(connection, reservation_id)
            others = [without(each, held_usd.get((each.account_id, each.window_start), ZERO)) for each in budgets]
            short = tuple(shortfalls(others, max(ZERO, total_usd - arrived_usd)))
            if refusals(short):
                return Outcome(is_allowed=False, budgets=budgets, short=short)
            parameters = {
                "reservation_id": reservation_id,
                "tenant": scope.tenant,
                "account_ids": [budget.account_id for budget in budgets],
                "window_starts": [budget.window_start for budget in budgets],
                "granted_usd": total_usd,
            }
            connection.execute(statement("extend_reservation"), parameters)
            return Outcome(is_allowed=True, budgets=budgets, short=short, reservation_id=reservation_id)

    return again(once)


def settle(
    connection: Connection, reservation_id: str, actual_usd: Decimal, *, namespace: str | None
) -> Settled | None:
    """Hold what a call has cost instead of its estimate, until its span arrives. None: there is no such call."""

    def once() -> Settled | None:
        with in_one_go(connection):
            state = _locked_call(connection, reservation_id, namespace)
            if state is None:
                return None
            parameters = {"reservation_id": reservation_id, "actual_usd": actual_usd, "state": "settled"}
            if state in {"open", "settled", "expired"}:
                connection.execute(statement("hold_what_it_cost"), parameters)
            if state == "open":
                connection.execute(statement("close_reservation"), parameters)
            return Settled(state="settled" if state == "open" else state, is_late=state in {"expired", "released"})

    return again(once)


def release(connection: Connection, reservation_id: str, *, namespace: str | None) -> Settled | None:
    """Give back what is held for a call that never went out. What was settled is spent, and stays held."""

    def once() -> Settled | None:
        with in_one_go(connection):
            state = _locked_call(connection, reservation_id, namespace)
            if state is None:
                return None
            if state in {"open", "expired"}:
                _give_up(connection, reservation_id)
            return Settled(state="settled" if state == "settled" else "released", is_late=state == "expired")

    return again(once)


def release_expired(connection: Connection, reservation_id: str) -> str | None:
    """Free what a lease or reservation of a silent process holds. Returns the state it was in; None if unknown."""
    with connection.transaction():
        row = _locked(connection, reservation_id, None)
        if row is None:
            return None
        if row[1] != "open":
            _give_up(connection, reservation_id)
        return row[1]


def insert_hold(
    connection: Connection,
    budgets: Sequence[BudgetState],
    granted_usd: dict[int, Decimal],
    *,
    kind: str,
    namespace: str,
    tenant: str,
    process_id: str,
    request_key: str | None = None,
) -> str:
    """Hold money in accounts that are locked, and return the id of the reservation."""
    reservation_id = str(uuid.uuid4())
    connection.execute(
        statement("insert_reservation"),
        {
            "reservation_id": reservation_id,
            "kind": kind,
            "namespace": namespace,
            "tenant": tenant,
            "process_id": process_id,
            "request_key": request_key,
            "account_ids": [budget.account_id for budget in budgets],
            "window_starts": [budget.window_start for budget in budgets],
            "granted_usd": [granted_usd[budget.account_id] for budget in budgets],
        },
    )
    return reservation_id


def again(work: Callable[[], T]) -> T:
    """Do it, again where another transaction was in the way. Raises `StoreUnavailable` where one always is."""
    for _ in range(_ATTEMPTS_MAX):
        try:
            return work()
        except (*_PASSING, psycopg.errors.UniqueViolation):
            continue
    raise StoreUnavailable("reservations keep getting in each other's way; try again")


def _known(connection: Connection, namespace: str, request_key: str | None) -> str | None:
    if request_key is None:
        return None
    parameters = {"namespace": namespace, "request_key": request_key}
    row = connection.execute(statement("reservation_of_request"), parameters).fetchone()
    return None if row is None else str(row[0])


def _held(connection: Connection, reservation_id: str) -> tuple[Decimal, dict[tuple[int, datetime], Decimal]]:
    """Return what has arrived of a call that goes on, and what it holds by account and window."""
    arrived = connection.execute(statement("arrived_of_reservation"), {"reservation_id": reservation_id}).fetchone()
    assert arrived is not None
    rows = connection.execute(statement("lease_holds"), {"reservation_id": reservation_id}).fetchall()
    return arrived[0], {
        (account_id, window_start): max(ZERO, granted_usd - arrived_usd)
        for account_id, window_start, granted_usd, arrived_usd in rows
    }


def _locked_call(connection: Connection, reservation_id: str, namespace: str | None) -> str | None:
    row = _locked(connection, reservation_id, namespace)
    return None if row is None or row[0] == "lease" else row[1]


def _locked(connection: Connection, reservation_id: str, namespace: str | None) -> tuple[str, str] | None:
    try:
        uuid.UUID(reservation_id)
    except ValueError:
        return None
    parameters = {"reservation_id": reservation_id, "namespace": namespace}
    row = connection.execute(statement("lock_reservation"), parameters).fetchone()
    return None if row is None else (row[0], row[1])


def _give_up(connection: Connection, reservation_id: str) -> None:
    parameters = {"reservation_id": reservation_id, "state": "released"}
    connection.execute(statement("drop_holds"), parameters)
    connection.execute(statement("close_reservation"), parameters)
