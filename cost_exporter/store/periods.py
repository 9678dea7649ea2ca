"""Closed periods: from its closing on, a month changes only by corrections, which are billed in a later month.

Writers hold the lock of the periods shared until they commit (`ledger/closings.py`), and closing or reopening a month
takes it alone: the sums that are kept hold every change that was committed before, and every change that comes after is
a correction.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from cost_exporter.errors import StoreError, StoreUnavailable
from cost_exporter.store.database.locks import Lock, lock_transaction
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.closings import EVERY_TENANT

__all__ = ["Closed", "close_period", "list_periods", "reopen_period"]

Row = dict[str, Any]
Cursor = psycopg.Cursor[Row]
_WAIT: Final = "10s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What was closed."""

    closing_id: int
    open_workflow_count: int
    """Workflows of the month that are not final: what they still change becomes a correction."""


def close_period(connection: psycopg.Connection[Any], month: date, tenant: str | None = None) -> Closed:
    """Close a month for one tenant, or for each that has not closed it for itself.

    Raises `StoreError` where the month is not over or is closed already.
    """
    parameters: Row = {"month": month, "tenant": tenant or EVERY_TENANT}
    with _alone(connection) as cursor:
        state = _state(cursor, parameters)
        if not state["is_over"]:
            raise StoreError(f"{month:%Y-%m} is not over (UTC); close it when it is")
        if state["own_closing_id"] is not None or state["common_closing_id"] is not None:
            whom = tenant if state["common_closing_id"] is None else "every tenant"
            raise StoreError(f"{month:%Y-%m} is closed for {whom} already; see `callfare period list`")
        closing_id = _only(cursor.execute(statement("insert_closing"), parameters))["closing_id"]
        cursor.execute(statement("insert_closing_sums"), {**parameters, "closing_id": closing_id})
        open_count = _only(cursor.execute(statement("count_open_workflows"), parameters))["open_count"]
    return Closed(closing_id=closing_id, open_workflow_count=open_count)


def reopen_period(connection: psycopg.Connection[Any], month: date, tenant: str | None = None) -> int:
    """Open a closed month again and return the number of its closing.

    What was corrected under that closing is part of the month again. Raises `StoreError` where the month is not
    closed, or where a later closed month has its corrections.
    """
    parameters: Row = {"month": month, "tenant": tenant or EVERY_TENANT}
    with _alone(connection) as cursor:
        state = _state(cursor, parameters)
        closing_id = state["own_closing_id"]
        if tenant is not None and state["common_closing_id"] is not None:
            raise StoreError(f"{month:%Y-%m} is closed for every tenant; reopen it without --tenant")
        if closing_id is None:
            raise StoreError(f"{month:%Y-%m} is not closed for {tenant or 'every tenant'}; see `callfare period list`")
        later = cursor.execute(statement("months_with_corrections"), {"closing_id": closing_id}).fetchall()
        if later:
            months = ", ".join(row["month"] for row in later)
            raise StoreError(f"corrections of {month:%Y-%m} are billed in {months}, which is closed; reopen that first")
        cursor.execute(statement("reopen_closing"), {"closing_id": closing_id})
    return int(closing_id)


def list_periods(connection: psycopg.Connection[Any], tenant: str | None = None) -> list[Row]:
    """Return every closing with the figures of each tenant, the newest month first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement("periods"), {"tenant": tenant}).fetchall()


@contextmanager
def _alone(connection: psycopg.Connection[Any]) -> Generator[Cursor]:
    """Lend a cursor in a transaction that begins when no writer is left, and during which none begins."""
    try:
        with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(f"set local lock_timeout = '{_WAIT}'")
            lock_transaction(cursor, Lock.PERIODS)
            yield cursor
    except psycopg.errors.LockNotAvailable as error:
        raise StoreUnavailable(f"a writer did not end within {_WAIT}; try again") from error


def _state(cursor: Cursor, parameters: Row) -> Row:
    return _only(cursor.execute(statement("state_of_period"), parameters))


def _only(cursor: Cursor) -> Row:
    row = cursor.fetchone()
    assert row is not None
    return row
