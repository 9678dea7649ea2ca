"""Locks of different purposes never wait for each other."""

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import psycopg
import pytest

import cost_exporter
from cost_exporter.domain.facts import Receipt
from cost_exporter.prices.price_file import PriceFile
from cost_exporter.store.database.locks import Lock, lock_session, lock_transaction, try_lock_session, unlock_session
from cost_exporter.store.dead_letters import replay
from cost_exporter.store.price_books import save_price_file

Database = psycopg.Connection[Any]
SOURCES = Path(cost_exporter.__file__).parent


def test_no_two_purposes_share_a_number() -> None:
    """Also not where one is an alias of the other, which `unique` refuses."""
    assert len({int(lock) for lock in Lock.__members__.values()}) == len(Lock.__members__)


def test_locks_are_taken_in_one_module_only() -> None:
    """A number written anywhere else is in no list, and could be anybody's. One function is given it by its caller."""
    takes = re.compile(r"pg_(try_)?advisory")
    files = [*SOURCES.rglob("*.py"), *SOURCES.rglob("*.sql")]
    found = {path.relative_to(SOURCES).as_posix() for path in files if takes.search(path.read_text("utf-8"))}
    given = "store/sql/migrations/0130_periods.sql"
    assert "pg_advisory_xact_lock_shared(lock_number)" in (SOURCES / given).read_text("utf-8")
    assert found == {"store/database/locks.py", given}


@pytest.mark.parametrize(("held", "wanted"), list(combinations(Lock, 2)))
def test_one_purpose_does_not_keep_out_another(database: Database, database_url: str, held: Lock, wanted: Lock) -> None:
    """Whatever one process holds, another gets the rest at once, and not the same."""
    with psycopg.connect(database_url, autocommit=True) as other:
        lock_session(other, held)
        assert try_lock_session(database, wanted)
        assert not try_lock_session(database, held)
        unlock_session(other, held)
        assert try_lock_session(database, held)


def test_prices_can_be_loaded_during_a_replay(database: Database, database_url: str) -> None:
    """And a replay can start while prices are loaded: neither waits, neither says that the other is running."""
    file = PriceFile(name="mine", rows=[], factors=[], aliases=[])
    with psycopg.connect(database_url, autocommit=True) as other:
        lock_session(other, Lock.REPLAY)
        database.execute("set lock_timeout = '5s'")
        assert save_price_file(database, file) > 0
        unlock_session(other, Lock.REPLAY)
        with other.transaction():
            lock_transaction(other, Lock.PRICE_BOOKS)
            assert list(replay(database, lambda _: Receipt(), lambda _: Receipt())) == []
