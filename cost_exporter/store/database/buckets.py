"""The monthly partitions of `record`: made ahead of time, never by an insert, and again where they are missing.

The records of a trace are in the partition of the month in which its first span was received. That month is stored
with the trace, so late spans join their siblings and a record stays unique without a timestamp in its key.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import psycopg

from cost_exporter.store.database.locks import Lock, lock_transaction
from cost_exporter.store.database.statements import statement

__all__ = ["bucket_day_of", "ensure_bucket", "is_purged", "purged_among"]

_EPOCH: Final = date(1970, 1, 1)


def bucket_day_of(unix_ns: int) -> int:
    """Return the first of the month of an instant, in days since 1970."""
    day = datetime.fromtimestamp(unix_ns // 1_000_000_000, UTC).date()
    return (day.replace(day=1) - _EPOCH).days


def _partition_name(bucket: date) -> str:
    """Return the name of the partition of a month."""
    return f"record_{bucket:%Y_%m}"


def ensure_bucket(connection: psycopg.Connection[Any], bucket_day: int) -> None:
    """Make the partition of a month and of the next one, unless they exist. Runs in transactions of its own.

    A month that was purged stays without. What exists is asked of the catalogue, not of our own table: a restore may
    have brought back the one without the other.
    """
    bucket = _EPOCH + timedelta(days=bucket_day)
    following = (bucket + timedelta(days=32)).replace(day=1)
    for each in (bucket, following):
        with connection.transaction():
            lock_transaction(connection, Lock.PARTITIONS)
            connection.execute(statement("insert_bucket"), {"bucket": each})
            if not _has_purged(connection, each) and not _is_attached(connection, each):
                connection.execute(statement("make_month"), {"bucket": each})


def is_purged(connection: psycopg.Connection[Any], bucket_day: int) -> bool:
    """Return whether the records of a month were dropped."""
    return _has_purged(connection, _EPOCH + timedelta(days=bucket_day))


def purged_among(connection: psycopg.Connection[Any], bucket_days: Iterable[int]) -> frozenset[int]:
    """Return those of some months whose records were dropped."""
    buckets = [_EPOCH + timedelta(days=each) for each in sorted(bucket_days)]
    if not buckets:
        return frozenset()
    return frozenset(day for (day,) in connection.execute(statement("purged_among"), {"buckets": buckets}))


def _has_purged(connection: psycopg.Connection[Any], bucket: date) -> bool:
    return connection.execute(statement("purged_bucket"), {"bucket": bucket}).fetchone() is not None


def _is_attached(connection: psycopg.Connection[Any], bucket: date) -> bool:
    partition = f"callfare.{_partition_name(bucket)}"
    return connection.execute(statement("attached_partition"), {"partition": partition}).fetchone() is not None
