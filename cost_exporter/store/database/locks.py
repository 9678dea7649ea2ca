"""Advisory locks: every number that this program takes, and the only place that takes one.

PostgreSQL knows such a lock by its number alone, so two uses of one number would wait for each other.
"""

from enum import IntEnum, unique
from typing import Any

import psycopg

__all__ = ["Lock", "lock_session", "lock_transaction", "try_lock_session", "try_lock_transaction", "unlock_session"]

Executor = psycopg.Connection[Any] | psycopg.Cursor[Any]


@unique
class Lock(IntEnum):
    """What is locked. A number once used stays with its purpose: older services may run beside this one."""

    MIGRATE = 7_263_905_114_117_001
    """One process changes the schema."""
    PRICE_BOOKS = 7_263_905_114_117_002
    """Versions of the price book are numbered in the order in which they become visible."""
    RERATE = 7_263_905_114_117_003
    """One re-rating at a time."""
    REPLAY = 7_263_905_114_117_004
    """One replay of dead letters at a time."""
    PARTITIONS = 7_263_905_114_117_005
    """One process makes the partition of a month."""
    PERIODS = 7_263_905_114_117_018
    """Writers share it; who closes or reopens a period has it alone."""
    ALERTS = 7_263_905_114_117_006
    """One service sweeps for alerts at a time."""
    EXPORT = 7_263_905_114_117_008
    """One export at a time, whatever its place."""
    OLD_CALLS = 7_263_905_114_117_007
    """One process moves provider calls that were seen a while ago."""
    POSTHOG = 7_263_905_114_117_016
    """One service sends events to PostHog at a time."""


def lock_session(connection: Executor, lock: Lock) -> None:
    """Wait for the lock and hold it until `unlock_session`, or the end of the connection."""
    connection.execute("select pg_advisory_lock(%s)", (int(lock),))


def try_lock_session(connection: Executor, lock: Lock) -> bool:
    """Take the lock as `lock_session` does, unless somebody holds it. Return whether it was taken."""
    row = connection.execute("select pg_try_advisory_lock(%s)", (int(lock),)).fetchone()
    return row is not None and bool(row[0])


def unlock_session(connection: Executor, lock: Lock) -> None:
    """Let go of what `lock_session` or `try_lock_session` took."""
    connection.execute("select pg_advisory_unlock(%s)", (int(lock),))


def lock_transaction(connection: Executor, lock: Lock) -> None:
    """Wait for the lock and hold it until the end of the transaction."""
    connection.execute("select pg_advisory_xact_lock(%s)", (int(lock),))


def try_lock_transaction(connection: Executor, lock: Lock) -> bool:
    """Take the lock as `lock_transaction` does, unless somebody holds it. Return whether it was taken."""
    row = connection.execute("select pg_try_advisory_xact_lock(%s)", (int(lock),)).fetchone()
    return row is not None and bool(row[0])
