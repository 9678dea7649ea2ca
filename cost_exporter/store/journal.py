"""Read the corrections of the journal, each once and none passed over, however late a transaction commits.

A number from a sequence is given before the commit: who reads "after number 7" while the transaction of number 6 is
still open never sees it. Transaction ids have the same gap, but the server says up to which one all have ended
(`pg_snapshot_xmin`). Only what lies below that is read; the rest is there next time.

Save the position in the transaction that uses what was read; then nothing is used twice either.
"""

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from cost_exporter.errors import StoreError
from cost_exporter.store.database.statements import statement

__all__ = ["JOURNAL_START", "JournalPlace", "read_corrections"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPlace:
    """Up to and including which posting the journal was read."""

    transaction_id: int
    posting_id: int


JOURNAL_START: Final = JournalPlace(transaction_id=0, posting_id=0)


def read_corrections(
    connection: psycopg.Connection[Any], place: JournalPlace, *, count: int
) -> tuple[list[Row], JournalPlace]:
    """Return up to `count` postings of records after `place`, by the columns of the journal, and the place after them.

    Raises `StoreError` where the journal came from another server, whose transaction ids mean nothing here.
    """
    parameters = {"transaction_id": place.transaction_id, "posting_id": place.posting_id, "count": count}
    with connection.cursor(row_factory=dict_row) as cursor:
        ahead = cursor.execute(statement("journal_is_ahead"), parameters).fetchone()
        if ahead is not None and ahead["is_ahead"]:
            raise StoreError(
                "the journal was restored from another server: "
                "run `update callfare.journal set transaction_id = default` and read it from the start"
            )
        rows = cursor.execute(statement("corrections_after"), parameters).fetchall()
    if not rows:
        return [], place
    return rows, JournalPlace(transaction_id=rows[-1]["transaction_id"], posting_id=rows[-1]["posting_id"])
