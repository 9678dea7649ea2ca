"""A day is a UTC day, whatever time zone the database, the role or the environment puts a session into."""

import ast
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from cost_exporter.store.database.connection import connect_ledger
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.database.session import connect, open_pool
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.reading import Period, Reader, ReaderPool
from tests.domain.builders import T0_UNIX_NS, call, price_by_sum
from tests.store.requests import request

ROOT = Path(__file__).parent.parent.parent
DAY = datetime.fromtimestamp(T0_UNIX_NS // 10**9, UTC).replace(hour=0, minute=0, second=0)
WEST, EAST, ODD = "America/Los_Angeles", "Pacific/Kiritimati", "Asia/Kathmandu"


@pytest.fixture(params=[WEST, EAST, ODD])
def zone(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["database", "role", "PGTZ"])
def zoned_url(request: pytest.FixtureRequest, zone: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a database on which a plain session is in the zone: by one of three ways."""
    name = conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        if request.param == "database":
            statement = sql.SQL("alter database {} set timezone = {}").format(sql.Identifier(cast("str", name)), zone)
        else:
            # Of the role in this database alone: other tests use the role at the same time.
            role = sql.SQL("alter role current_user in database {} set timezone = {}")
            statement = role.format(sql.Identifier(cast("str", name)), zone)
        if request.param == "PGTZ":
            monkeypatch.setenv("PGTZ", zone)
        else:
            connection.execute(statement)
    with psycopg.connect(database_url) as plain:
        assert plain.info.parameter_status("TimeZone") == zone, "the test's own precondition"
    return database_url


def time_zone_of(connection: psycopg.Connection[Any]) -> Any:
    found = connection.execute("show timezone").fetchone()
    assert found is not None
    return next(iter(found.values())) if isinstance(found, dict) else found[0]


def test_every_kind_of_connection_is_in_utc(zoned_url: str) -> None:
    """The writers', the readers' and the commands' connections, also after a transaction was rolled back."""
    with connect(zoned_url) as command:
        command.execute("select 1")
        command.rollback()
        assert time_zone_of(command) == "UTC"
    with connect_ledger(zoned_url) as writer:
        assert time_zone_of(writer) == "UTC"
    pool = open_pool(zoned_url, size_max=1, wait_seconds_max=60, name="test")
    with pool.connection() as lent:
        assert time_zone_of(lent) == "UTC"
    pool.close()


def test_a_day_holds_its_calls(zoned_url: str) -> None:
    """Calls at both ends of a UTC day are that day's, by the rollup and by the records, and no other day's."""
    migrate(zoned_url)
    ledger = LedgerStore(zoned_url)
    first_ms = int(DAY.timestamp()) * 1000 - T0_UNIX_NS // 1_000_000
    last_ms = first_ms + 86_400_000 - 1
    calls = [call("a", start_ms=first_ms, end_ms=first_ms), call("b", start_ms=last_ms, end_ms=last_ms)]
    ledger.commit([request(*calls)], price_by_sum)
    ledger.close()
    pool = ReaderPool(zoned_url)
    with pool.lend() as pooled, Reader.connect(zoned_url) as own:
        for reader in (pooled, own):
            for columns in (("day",), ("day", "task")):
                counted = {offset: reader.spend(day_after(offset), columns) for offset in (-1, 0, 1)}
                assert [len(counted[offset]) for offset in (-1, 0, 1)] == [0, 1, 0], columns
                assert counted[0][0]["day"] == DAY.date()
    pool.close()


def day_after(offset: int) -> Period:
    return Period(since=DAY + timedelta(days=offset), until=DAY + timedelta(days=offset + 1))


def connections_made(source: str) -> Iterator[int]:
    """Lines that connect to PostgreSQL other than by `store/database/session.py`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if (called.startswith("psycopg") and called.endswith(".connect")) or called.startswith("ConnectionPool"):
                yield node.lineno


def test_no_module_connects_in_a_way_of_its_own() -> None:
    """Each connection is opened in `store/database/session.py`, but for those that only look whether the server
    answers.
    """
    elsewhere = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "cost_exporter").rglob("*.py"))
        if path.name != "session.py" and list(connections_made(path.read_text(encoding="utf-8")))
    ]
    assert elsewhere == ["cost_exporter/cli/service_commands.py", "cost_exporter/store/database/embedded.py"]


def test_the_check_sees_a_planted_connection() -> None:
    """Both ways of psycopg, and its pool, are found."""
    planted = "psycopg.connect(url)\npsycopg.Connection[Row].connect(url)\nConnectionPool[Any](url)\nconnect(url)\n"
    assert list(connections_made(planted)) == [1, 2, 3]
