"""Read what was stored, as rows under the SQL column names: for the CLI, the API and the page.

Reports read views and rollups, so that most changes inside the store do not reach them. Money comes as `Decimal` also
out of jsonb, where psycopg would make floats of it.
"""

import json
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import PoolTimeout

from cost_exporter.errors import StoreUnavailable
from cost_exporter.store.database.roles import TenantLimits
from cost_exporter.store.database.session import connect, open_pool
from cost_exporter.store.database.statements import statement
from cost_exporter.store.database.unreachable import unreachable
from cost_exporter.store.spending import Period, spend_of_api_key_query, spend_query

__all__ = ["Period", "Reader", "ReaderPool", "Row"]

Row = dict[str, Any]
_TOPS: Final = {"cost": "top_by_cost", "duration": "top_by_duration", "unpriced": "top_by_unpriced"}
_POOL_CONNECTIONS_MAX: Final = 4
_POOL_WAIT_SECONDS_MAX: Final = 3.0
_STATEMENT_SECONDS_MAX: Final = 30
_STREAMS_MAX: Final = 2
"""Each holds a connection for as long as who reads it takes."""
_STREAMED_AT_ONCE: Final = 500
_LOOK_BACK: Final = (timedelta(hours=1), timedelta(days=1), timedelta(days=30), None)
"""How far the latest workflows are looked for; None is all the time there is."""


class Reader:
    """Reads through one connection."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        """Take a connection made by `connect` or by `ReaderPool`."""
        self._connection = connection

    @classmethod
    @contextmanager
    def connect(cls, database_url: str) -> Generator["Reader"]:
        """Lend a reader with a connection of its own. Raises `StoreUnavailable` with what to do."""
        try:
            connection = connect(database_url, autocommit=True, row_factory=dict_row)
        except psycopg.Error as error:
            raise unreachable(error) from error
        with connection:
            _keep_decimals(connection)
            yield cls(connection)

    @contextmanager
    def limited_to(self, tenants: frozenset[str] | None, limits: TenantLimits) -> Generator[None]:
        """Let the database keep from this reader what is not of these tenants; None: it may see all of them."""
        with limits.only(self._connection, tenants):
            yield

    @contextmanager
    def one_snapshot(self) -> Generator[None]:
        """Let everything that is read meanwhile be of one moment. Not for a connection of the pool."""
        with _explained(), self._connection.transaction():
            self._connection.execute("set transaction isolation level repeatable read, read only")
            yield

    def workflows(self, trace_id: UUID, tenant: str | None = None) -> list[Row]:
        """Return the rows of `workflow_cost` of one trace: one a tenant, none if it is unknown."""
        return self._rows("workflow", {"trace_id": trace_id, "tenant": tenant})

    def records(self, trace_id: UUID, tenant: str) -> list[Row]:
        """Return the records of one workflow in order of time, duplicates included."""
        return self._rows("records", {"trace_id": trace_id, "tenant": tenant})

    def voice_call(self, trace_id: UUID, tenant: str) -> Row | None:
        """Return the row of `voice_call` of one workflow; None where it is no call."""
        return next(iter(self._rows("voice_call", {"trace_id": trace_id, "tenant": tenant})), None)

    def usage_stats(self, trace_id: UUID, tenant: str | None = None) -> list[Row]:
        """Return `tenant_id` and `usage_stats` of one trace: one row a tenant."""
        return self._rows("usage_stats", {"trace_id": trace_id, "tenant": tenant})

    def top(self, period: Period, *, limit: int, tenant: str | None = None, by: str = "cost") -> list[Row]:
        """Return workflows that started in the period, by cost, by duration or by unpriced calls, the highest first."""
        parameters = {"since": period.since, "until": period.until, "tenant": tenant, "count": limit}
        return self._rows(_TOPS[by], parameters)

    def latest(self, *, now: datetime, count: int, tenant: str | None = None) -> list[Row]:
        """Return the workflows that started last, the last one first.

        A day's workflows may be millions: the last hour is asked first, and longer times only as long as too few
        are found.
        """
        rows: list[Row] = []
        for back in _LOOK_BACK:
            since = Period.always().since if back is None else now - back
            rows = self._rows("latest_workflows", {"since": since, "tenant": tenant, "count": count})
            if len(rows) >= count:
                break
        return rows

    def unpriced_by_leg(self, trace_ids: Sequence[UUID]) -> list[Row]:
        """Return `trace_id`, `tenant_id`, `leg` and `unpriced_count` of these workflows, where that is not 0."""
        return self._rows("unpriced_by_leg", {"trace_ids": list(trace_ids)})

    def spend(
        self, period: Period, columns: Sequence[str], tenant: str | None = None, *, api_key: str | None = None
    ) -> list[Row]:
        """Return `columns`, the cost and what it was paid for, one row a group, in the order of the columns.

        Of one tenant or API key, or of all of them.

        `cost_usd` is null where nothing of a group is priced.
        """
        query = spend_query(period, columns) if api_key is None else spend_of_api_key_query(columns)
        parameters = {"since": period.since, "until": period.until, "tenant": tenant, "api_key": api_key}
        return self._fetched(query, parameters)

    def cost_totals(self) -> list[Row]:
        """Return cost, operations and unpriced operations of all time by the labels that metrics have."""
        return self._rows("cost_totals", {})

    def mismatches(self) -> list[Row]:
        """Return what `integrity_check` finds: nothing where every rollup is the exact sum of its records."""
        return self._rows("mismatches", {})

    def missing_spans(self) -> int:
        """Return how many numbered spans never arrived, of producers that sent nothing in the last ten minutes."""
        return int(self._rows("missing_spans", {})[0]["missing_count"])

    def too_old(self, period: Period) -> int:
        """Return how many spans came in a period whose records had been dropped: nobody is billed for them."""
        return int(self._rows("too_old_count", {"since": period.since, "until": period.until})[0]["too_old_count"])

    def unread(self, period: Period, *, count: int, tenant: str | None = None) -> list[Row]:
        """Return what was not understood in a period, by scope and attribute, the most frequent first."""
        return self._rows("unread", {"since": period.since, "until": period.until, "tenant": tenant, "count": count})

    def budgets(self, *, tenant: str | None = None, name: str | None = None) -> list[Row]:
        """Return the budgets in the window that runs: of a tenant, of a name, or all."""
        return self._rows("budgets", {"tenant": tenant, "name": name})

    def alerts(self, *, tenant: str | None = None, count: int) -> list[Row]:
        """Return the last alerts, with what became of their deliveries: of a tenant, or all."""
        return self._rows("latest_alerts", {"tenant": tenant, "count": count})

    def dead_letters(self, *, count: int) -> list[Row]:
        """Return the newest dead letters, without their payload."""
        return self._rows("dead_letters", {"count": count})

    def ask(self, name: str, parameters: dict[str, Any], parts: Mapping[str, sql.Composable]) -> list[Row]:
        """Return the rows of a statement; `parts` fill the places in its text."""
        return self._fetched(_filled(name, parts), parameters)

    def stream(self, name: str, parameters: dict[str, Any], parts: Mapping[str, sql.Composable]) -> Iterator[Row]:
        """Yield the rows of a statement, a few at a time: from one snapshot, however long the reader takes."""
        with _explained(), self._connection.transaction(), self._connection.cursor(name="stream") as cursor:
            cursor.itersize = _STREAMED_AT_ONCE
            cursor.execute(_filled(name, parts), parameters)
            yield from cursor

    def is_alive(self) -> bool:
        """Return whether the database answers."""
        return bool(self._rows("alive", {}))

    def _rows(self, name: str, parameters: dict[str, Any]) -> list[Row]:
        return self._fetched(sql.SQL(statement(name)), parameters)

    def _fetched(self, query: sql.SQL | sql.Composed, parameters: dict[str, Any]) -> list[Row]:
        with _explained():
            # Never prepared: the best plan depends on the period and on whether one tenant is asked for.
            return self._connection.execute(query, parameters, prepare=False).fetchall()


class ReaderPool:
    """A few connections, lent to the handlers of requests. Opened when first needed, bounded, closed by `close`."""

    def __init__(self, database_url: str) -> None:
        """Prepare; nothing is connected before the first use."""
        self._limits = TenantLimits()
        self._pool = open_pool(
            database_url,
            size_max=_POOL_CONNECTIONS_MAX,
            wait_seconds_max=_POOL_WAIT_SECONDS_MAX,
            name="readers",
            configure=_prepare,
            row_factory=dict_row,
            prepare_threshold=None,  # behind a pooler the next transaction may be on another connection of the server
        )
        self._database_url = database_url
        self._streams = threading.BoundedSemaphore(_STREAMS_MAX)

    @contextmanager
    def lend_to(self, tenants: frozenset[str] | None) -> Generator[Reader]:
        """Lend a reader from which the database keeps what is not of these tenants; None: it may see all of them.

        Raises as `lend`.
        """
        try:
            with self._pool.connection() as connection, self._limits.only(connection, tenants):
                yield Reader(connection)
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise unreachable(error) from error

    @contextmanager
    def lend(self) -> Generator[Reader]:
        """Lend a reader that sees everything, for the service itself.

        Raises `StoreUnavailable` if no connection is free in time.
        """
        try:
            with self._pool.connection() as connection:
                yield Reader(connection)
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise unreachable(error) from error

    @contextmanager
    def lend_stream_to(self, tenants: frozenset[str] | None) -> Generator[Reader]:
        """Lend as `lend_to`, for as long as somebody takes to read a stream.

        Raises `StoreUnavailable` if too many do.
        """
        if not self._streams.acquire(timeout=_POOL_WAIT_SECONDS_MAX):
            raise StoreUnavailable(f"{_STREAMS_MAX} exports are being read already; try again when one has ended")
        try:
            with Reader.connect(self._database_url) as reader, reader.limited_to(tenants, self._limits):
                yield reader
        finally:
            self._streams.release()

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


@contextmanager
def _explained() -> Generator[None]:
    """Turn an error of the database into one that says what to do."""
    try:
        yield
    except psycopg.errors.UndefinedTable as error:
        raise StoreUnavailable("the database has no callfare schema; run `callfare migrate`") from error
    except psycopg.errors.QueryCanceled as error:
        raise StoreUnavailable(
            "the database took too long to answer; ask for a shorter period or for one tenant"
        ) from error
    except psycopg.OperationalError as error:
        raise unreachable(error) from error


def _filled(name: str, parts: Mapping[str, sql.Composable]) -> sql.SQL | sql.Composed:
    return sql.SQL(statement(name)).format(**parts) if parts else sql.SQL(statement(name))


def _prepare(connection: psycopg.Connection[Row]) -> None:
    """Prepare a connection for short answers: one that takes longer holds up those who wait for it."""
    _keep_decimals(connection)
    connection.execute(sql.SQL("set statement_timeout = {}").format(f"{_STATEMENT_SECONDS_MAX}s"))


def _keep_decimals(connection: psycopg.Connection[Row]) -> None:
    """Let figures in jsonb come as Decimal."""
    set_json_loads(partial(json.loads, parse_float=Decimal), connection)
