"""A database that was replaced under its address is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.identity import LedgerIdentity, SeenLedgers, identity_of, replacements

Database = psycopg.Connection[Any]
SEEN = LedgerIdentity(ledger_id="one", server_id=7, timeline_id=1, next_transaction_id=1000)


@pytest.mark.parametrize(
    ("now", "named"),
    [
        (SEEN, []),
        (replace(SEEN, next_transaction_id=2000), []),
        (replace(SEEN, ledger_id="two", server_id=8), ["another ledger is here: two"]),
        (replace(SEEN, server_id=8, next_transaction_id=5), ["restored on another server"]),
        (replace(SEEN, timeline_id=2, next_transaction_id=1001), ["on timeline 2, not 1"]),
        (replace(SEEN, timeline_id=2, next_transaction_id=990), ["on timeline 2", "10 transactions that were seen"]),
        (LedgerIdentity(ledger_id="one"), []),
    ],
)
def test_each_kind_of_replacement_is_named(now: LedgerIdentity, named: list[str]) -> None:
    """Another ledger, a restored dump, a failover, and one to a standby that lagged."""
    found = replacements(SEEN, now)
    assert len(found) == len(named)
    assert all(part in each for part, each in zip(named, found, strict=True))


def test_a_schema_made_anew_is_another_ledger(database: Database, database_url: str, tmp_path: Path) -> None:
    """Also after a restart: what was seen is in a file. It stays named until somebody accepts it."""
    seen = SeenLedgers(tmp_path, database_url)
    first = identity_of(database)
    assert None not in {first.server_id, first.timeline_id, first.next_transaction_id}
    assert seen.check(lambda: first) == []
    assert seen.check(lambda: identity_of(database)) == []
    database.execute("drop schema callfare cascade")
    migrate(database_url)
    for _ in range(2):
        (found,) = SeenLedgers(tmp_path, database_url).check(lambda: identity_of(database))
        assert first.ledger_id in found
    seen.accept(identity_of(database))
    assert SeenLedgers(tmp_path, database_url).check(lambda: identity_of(database)) == []


def test_another_address_is_another_memory_and_a_damaged_file_is_none(database_url: str, tmp_path: Path) -> None:
    """User and password are no part of an address, and in no file."""
    SeenLedgers(tmp_path, "postgresql://ann:canary@db/ledger").accept(SEEN)
    (file,) = tmp_path.iterdir()
    assert "canary" not in file.read_text()
    assert SeenLedgers(tmp_path, "postgresql://bob@db/ledger").last() == SEEN
    assert SeenLedgers(tmp_path, "postgresql://bob@db/other").last() is None
    for damaged in ("", "[]", '{"x": 1}'):
        file.write_text(damaged)
        assert SeenLedgers(tmp_path, "postgresql://bob@db/ledger").last() is None


def test_where_nothing_can_be_written_the_process_remembers(tmp_path: Path) -> None:
    """A container whose file system is read-only still notices a replacement while it runs."""
    (tmp_path / "file").touch()
    seen = SeenLedgers(tmp_path / "file", "postgresql://db/ledger")
    assert seen.check(lambda: SEEN) == []
    assert seen.check(lambda: replace(SEEN, ledger_id="two")) != []
