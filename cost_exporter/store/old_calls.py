"""Move provider calls that were seen a while ago to a table of their own.

The key of a call is a hash, so each new one goes to any page of the index. While the index fits into memory that costs
little; beyond, every row reads a page, and writes it whole to the log after each checkpoint. So new calls go to a small
index, `provider_call`, and are moved to a large one, `provider_call_old`, many at a time and in its order. Every commit
looks in both, at any age: what is one call does not depend on where it is kept.
"""

from datetime import timedelta
from typing import Any, Final

import psycopg

from cost_exporter.store.database.locks import Lock, try_lock_session, unlock_session
from cost_exporter.store.database.statements import statement

__all__ = ["AGE", "move_old_calls"]

AGE: Final = timedelta(hours=2)
"""A writer looks for a call and adds it later, in one transaction. The same call may have come to another writer in the
meantime, and must not be gone by then from the table in which adding it twice is refused. No transaction of ingest
takes so long: each of its statements ends after 20 s, its connection after a minute of silence (`connection.py`)."""
_WORTHWHILE: Final = 500_000
_AT_ONCE: Final = 20_000
_FIRST_HASH: Final = -(2**63)
_LAST_HASH: Final = 2**63 - 1


def move_old_calls(connection: psycopg.Connection[Any], *, age: timedelta = AGE, worthwhile: int = _WORTHWHILE) -> int:
    """Move what is older than this, where it is worthwhile, and return how many calls that were.

    Takes an autocommit connection; some are moved in each transaction. Returns 0 where somebody else moves them now.
    """
    if not try_lock_session(connection, Lock.OLD_CALLS):
        return 0
    try:
        return _move(connection, age, worthwhile)
    finally:
        unlock_session(connection, Lock.OLD_CALLS)


def _move(connection: psycopg.Connection[Any], age: timedelta, worthwhile: int) -> int:
    row = connection.execute(statement("has_old_calls"), {"count": worthwhile, "age": age}).fetchone()
    if row is None or not row[0]:
        return 0
    moved_count, first_hash = 0, _FIRST_HASH
    while True:
        parameters = {"first_hash": first_hash, "age": age, "count": _AT_ONCE}
        row = connection.execute(statement("move_old_calls"), parameters).fetchone()
        assert row is not None
        count, last_hash = row
        moved_count += count
        if count < _AT_ONCE or last_hash == _LAST_HASH:
            return moved_count
        first_hash = last_hash + 1
