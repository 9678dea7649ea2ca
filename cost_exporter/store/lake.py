"""What exports read of the ledger, and how far each place has come.

A snapshot of the database says up to which transaction id all have ended (`pg_snapshot_xmin`). What became final or was
corrected below that, and not below the place before, is exported: each change once, however late it commits.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from cost_exporter.errors import StoreError, StoreUnavailable
from cost_exporter.store.database.locks import Lock, try_lock_session, unlock_session
from cost_exporter.store.database.session import connect
from cost_exporter.store.database.statements import statement
from cost_exporter.store.database.unreachable import unreachable

__all__ = ["ExportTarget", "ExportTargets", "Snapshot", "open_snapshot"]

Row = dict[str, Any]
Values = tuple[Any, ...]
_BEGINNING: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTarget:
    """How far a place has come."""

    target_id: UUID
    manifest_count: int
    exported_until_id: int
    """Everything below this transaction id was exported."""
    manifest_sha256: str | None
    """That of the last manifest; None before the first."""
    pending_token: str | None
    """The run that was begun and has not ended; it may have been killed."""
    began_after_purge: bool
    """Whether records were dropped before the place was there: it never had them."""


class ExportTargets:
    """The ledger's side of exports. Takes a connection that commits each statement."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Take the connection; nothing is locked yet."""
        self._connection = connection

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other exports out. Raises `StoreUnavailable` where one is running."""
        if not try_lock_session(self._connection, Lock.EXPORT):
            raise StoreUnavailable("another export, or a check of one, is running; try again when it has ended")
        try:
            yield
        finally:
            # A server notices a moment later that a connection has ended, and the next command would be refused.
            with suppress(psycopg.Error):
                unlock_session(self._connection, Lock.EXPORT)

    def find(self, target_id: UUID) -> ExportTarget | None:
        """Return how far a place has come; None where this ledger does not know it."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(statement("export_target"), {"target_id": target_id}).fetchone()
        return None if row is None else _target(row)

    def add(self, target_id: UUID, location: str) -> None:
        """Add a place that nothing was exported to yet."""
        self._run("insert_export_target", target_id=target_id, location=location)

    def begin(self, target_id: UUID, location: str, *, token: str, until_id: int) -> None:
        """Note what a run is about to write. In the database before the first file is."""
        self._run("begin_export", target_id=target_id, location=location, token=token, until=str(until_id))

    def commit(self, target_id: UUID, *, token: str, sha256: str) -> None:
        """Note that the manifest of a run is there."""
        self._run("commit_export", target_id=target_id, token=token, sha256=sha256)

    def end_empty(self, target_id: UUID, *, token: str) -> None:
        """Note that a run found nothing to write."""
        self._run("end_empty_export", target_id=target_id, token=token)

    def drop_pending(self, target_id: UUID) -> None:
        """Forget a run that was killed before its manifest."""
        self._run("drop_pending_export", target_id=target_id)

    def _run(self, name: str, **parameters: Any) -> None:
        if self._connection.execute(statement(name), parameters).rowcount != 1:
            raise StoreError("the export's own row in callfare.export_target was changed meanwhile; run it again")


class Snapshot:
    """The ledger at one moment."""

    def __init__(self, connection: psycopg.Connection[Any], until_id: int) -> None:
        """Take a connection in a transaction of isolation `repeatable read`."""
        self._connection = connection
        self.until_id: Final = until_id
        """Below this transaction id all have ended."""

    def rows(self, since_id: int, *, count: int) -> Iterator[tuple[Sequence[str], list[Values]]]:
        """Yield the names of the columns with up to `count` rows at a time: what is not below `since_id`."""
        with self._connection.cursor(name="export") as cursor:
            cursor.execute(_filled("export_rows"), {"since": str(since_id), "until": str(self.until_id)})
            names = [column.name for column in cursor.description or ()]
            while found := cursor.fetchmany(count):
                yield names, found

    def sums(self, until_id: int) -> list[Row]:
        """Return what the files of a place that has come so far must add up to, by tenant and day.

        `has_purged` says whether records that were dropped are in a sum.
        """
        parameters = {"since": str(_BEGINNING), "until": str(until_id)}
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_filled("final_sums"), parameters).fetchall()


@contextmanager
def open_snapshot(database_url: str, since_id: int) -> Generator[Snapshot]:
    """Lend a snapshot. Raises `StoreError` where the database is not the one that `since_id` came from."""
    try:
        connection = connect(database_url, autocommit=False)
    except psycopg.Error as error:
        raise unreachable(error) from error
    with connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        row = connection.execute(statement("snapshot_place"), {"since": str(since_id)}).fetchone()
        assert row is not None
        until, is_ahead = row
        if is_ahead:
            raise StoreError(
                "the ledger was restored from another server, whose transaction ids mean nothing here: "
                "see 'Exports after a restore' in docs/operations/backup.md"
            )
        yield Snapshot(connection, int(until))


def _filled(name: str) -> sql.Composed:
    return sql.SQL(statement(name)).format(sides=sql.SQL(statement("final_sides")))


def _target(row: Row) -> ExportTarget:
    return ExportTarget(
        target_id=row["target_id"],
        manifest_count=row["manifest_count"],
        exported_until_id=int(row["exported_until"]),
        manifest_sha256=row["manifest_sha256"],
        pending_token=row["pending_token"],
        began_after_purge=row["began_after_purge"],
    )
