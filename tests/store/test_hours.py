"""Hours, and who spent in them: exact at every commit, for whoever sets a limit to an API key or a user."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from typing import Any, LiteralString

import psycopg
import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.retention import purge_before
from tests.domain.builders import T0_UNIX_NS, call, link, price_by_sum
from tests.store.requests import problems, request, rows

Database = psycopg.Connection[Any]
T0 = datetime.fromtimestamp(T0_UNIX_NS // 1_000_000_000, UTC)
HOUR = T0.replace(minute=0, second=0, microsecond=0)
DAY = HOUR.replace(hour=0)
COST = D("0.000001") * (1200 + 345)
HOUR_MS = 3_600_000
SPENT = (
    "select kind, value, starts_at, cost_usd, request_count from callfare.spend_by where grain = %s order by 1, 2, 3"
)


def by(**words: str) -> Attribution:
    return Attribution(**words)  # pyright: ignore[reportArgumentType]


def test_calls_count_in_their_hour_and_day(ledger: LedgerStore, database: Database) -> None:
    """For the category and the provider always, for the user and the API key where the call names one."""
    named = call("a", attribution=by(user="ann", api_key="key-1", category="bot"))
    later = call("b", start_ms=HOUR_MS, end_ms=HOUR_MS + 1, attribution=by(user="ann"))
    ledger.commit([request(named, later)], price_by_sum)
    hours = [row[:3] for row in rows(database, SPENT, "hour")]
    assert hours == [
        ("api_key", "key-1", HOUR),
        ("category", "bot", HOUR),
        ("category", "uncategorised", HOUR + timedelta(hours=1)),
        ("provider", "openai", HOUR),
        ("provider", "openai", HOUR + timedelta(hours=1)),
        ("user", "ann", HOUR),
        ("user", "ann", HOUR + timedelta(hours=1)),
    ]
    days = {row[:2]: row[2:] for row in rows(database, SPENT, "day")}
    assert days["user", "ann"] == (DAY, 2 * COST, 2)
    assert days["api_key", "key-1"] == (DAY, COST, 1)
    assert rows(database, "select hour, sum(cost_usd) from callfare.hourly_cost group by 1 order by 1") == [
        (HOUR, COST),
        (HOUR + timedelta(hours=1), COST),
    ]


def test_a_root_that_comes_last_takes_the_spending_to_its_user_and_tenant(
    ledger: LedgerStore, database: Database
) -> None:
    """What had counted for nobody counts for the user; nothing stays behind with the tenant of before."""
    ledger.commit([request(call("a"))], price_by_sum)
    ledger.commit([request(link("root", parent=None, attribution=by(tenant="acme", user="ann")))], price_by_sum)
    found = rows(database, "select distinct tenant_id, kind, value from callfare.spend_by order by 2, 3")
    assert found == [("acme", "category", "uncategorised"), ("acme", "provider", "openai"), ("acme", "user", "ann")]
    assert problems(database) == []


def test_a_duplicate_spends_nothing(ledger: LedgerStore, database: Database) -> None:
    """Two spans of one call are one request of the user."""
    for name in "ab":
        ledger.commit([request(call(name, call_id="response:1", attribution=by(user="ann")))], price_by_sum)
    spent = "select cost_usd, request_count from callfare.spend_by where kind = 'user' and grain = 'hour'"
    assert rows(database, spent) == [(COST, 1)]


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("update callfare.hourly_rollup set cost_usd = cost_usd + 1e-12", "hourly_rollup"),
        ("update callfare.hourly_rollup set hour = hour + interval '1 hour'", "hourly_rollup"),
        ("update callfare.spend_rollup set cost_usd = cost_usd + 1e-12 where kind = 'user'", "spend_rollup"),
        ("update callfare.spend_rollup set value = 'bob' where kind = 'user'", "spend_rollup"),
        (
            "update callfare.spend_rollup set request_count = 2 where kind = 'category' and grain = 'hour'",
            "spend_rollup",
        ),
        ("update callfare.spend_rollup set unpriced_count = 1 where grain = 'day'", "spend_rollup"),
        ("delete from callfare.spend_rollup where kind = 'api_key' and grain = 'day'", "spend_rollup"),
        ("update callfare.spend_rollup set value = 'other' where kind = 'task'", "spend_rollup"),
        ("delete from callfare.spend_rollup where kind = 'tier'", "spend_rollup"),
        ("delete from callfare.spend_rollup where grain = 'month'", "spend_rollup"),
        *[
            (f"update callfare.{table} set {column} = {column} + 1", table)
            for table in ("hourly_rollup", "spend_rollup")
            for column in ("total_tokens", "characters", "audio_seconds", "call_seconds")
        ],
    ],
)
def test_an_hour_that_is_not_the_sum_is_found(
    ledger: LedgerStore, database: Database, fault: LiteralString, problem: str
) -> None:
    """Either grain, every kind, and the hours that categories and providers are sums of."""
    named = by(user="ann", api_key="key-1", task="answer", tier="gold")
    ledger.commit([request(call("a", attribution=named))], price_by_sum)
    assert problems(database) == []
    with database.transaction(force_rollback=True):
        database.execute(fault)
        assert problem in {row[0] for row in problems(database)}


def test_purged_records_leave_their_hours_and_the_check_still_holds(ledger: LedgerStore, database: Database) -> None:
    """As with the days: closing balances say what the records had added."""
    audio = call("b", quantities={"audio_seconds": D("61.5")}, operation="speech_to_text")
    ledger.commit([request(call("a", attribution=by(user="ann", task="answer")), audio)], price_by_sum)
    before = rows(database, SPENT, "hour")
    assert purge_before(database, date(T0.year + 1, 1, 1)) != []
    assert rows(database, SPENT, "hour") == before
    assert problems(database) == []
