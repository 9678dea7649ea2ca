"""`callfare purge`: records of months that are over go, their sums stay."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cost_exporter.store.ledger.ledger import LedgerStore
from tests.cli.running import Ran, run_command
from tests.domain.builders import call, price_by_sum
from tests.store.requests import request
from tests.support.stored import filled_database

SEPTEMBER = datetime(2026, 9, 15, tzinfo=UTC)


@pytest.fixture
def url(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database with records received today, and one received in September 2026."""
    with filled_database(postgres_url, "callfare_filled_for_purge") as url:
        monkeypatch.setenv("CALLFARE_DATABASE_URL", url)
        ledger = LedgerStore(url)
        ledger.commit([request(call("a"), received_at_unix_ns=int(SEPTEMBER.timestamp()) * 10**9)], price_by_sum)
        ledger.close()
        yield url


def counted(url: str) -> tuple[Any, ...]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select (select count(*) from callfare.record), (select sum(cost_usd) from callfare.daily_cost),"
            " (select count(*) from callfare.integrity_check)"
        ).fetchone()
    assert found is not None
    return found


def test_purge_drops_months_that_are_over_and_keeps_their_sums(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run only names the months; the run drops them; sums stay and balance; again there is nothing to do."""

    def purge(*arguments: str) -> Ran:
        return run_command(capsys, "purge", "--force", *arguments)

    records, spent, problems = counted(url)
    assert problems == 0
    assert purge("--before", "2026-10-01", "--dry-run", "--json").json == {
        "months": ["2026-09"],
        "is_dry_run": True,
        "kept": None,
    }
    assert counted(url) == (records, spent, 0)
    assert purge("--before", "2026-09-30").out == "no records before 2026-09\n"
    assert purge("--before", "2026-10-01").out == "dropped the records of 2026-09\n"
    assert counted(url) == (records - 1, spent, 0)
    assert purge("--before", "2026-10-01", "--json").json == {"months": [], "is_dry_run": False, "kept": None}


def test_purge_wants_a_day_that_is_not_in_the_future(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip of the year drops nothing, and the mistake is one line with exit code 2."""
    before = counted(url)
    tomorrow = datetime.now(UTC).date() + timedelta(days=2)
    for arguments in ((), ("--before", "soon"), ("--before", tomorrow.isoformat())):
        ran = run_command(capsys, "purge", *arguments)
        assert (ran.exit_code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert counted(url) == before


def test_a_month_in_use_is_one_line(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A long reader of the month is not waited for; nothing is dropped and the command says what to do."""
    with psycopg.connect(url) as connection:
        connection.execute("lock table callfare.record_2026_09 in row exclusive mode")
        ran = run_command(capsys, "purge", "--before", "2026-10-01", "--force")
    assert (ran.exit_code, ran.err) == (1, "error: the records of 2026-09 are in use; try again later\n")
