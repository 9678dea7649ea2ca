"""Reports of spend: from whatever sums they are read, they are what the records say, to the last digit."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cost_exporter.domain.attribution import Attribution
from cost_exporter.store.database.statements import statement
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.reading import Period, Reader
from cost_exporter.store.spending import spend_query
from tests.domain.builders import T0_UNIX_NS, call, price_by_sum
from tests.store.requests import problems, request

Database = psycopg.Connection[Any]
T0 = datetime.fromtimestamp(T0_UNIX_NS // 1_000_000_000, UTC)
MONTH = T0.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
DAY = T0.replace(hour=0, minute=0, second=0, microsecond=0)
HOUR = T0.replace(minute=0, second=0, microsecond=0)
PERIODS = {
    "days": Period(since=DAY, until=DAY + timedelta(days=3)),
    "a month": Period(since=MONTH, until=DAY + timedelta(days=40)),
    "months and days": Period(
        since=DAY.replace(day=1) - timedelta(days=3), until=DAY.replace(day=1) + timedelta(days=37)
    ),
    "a year and hours": Period(since=HOUR - timedelta(days=200), until=HOUR + timedelta(days=160)),
    "hours": Period(since=HOUR, until=HOUR + timedelta(hours=30)),
    "ragged": Period(since=HOUR + timedelta(minutes=1), until=HOUR + timedelta(hours=30, seconds=5)),
    "always": Period.always(),
    "before anything": Period(since=DAY - timedelta(days=9), until=DAY - timedelta(days=8)),
}
COLUMNS = (
    *("day", "week", "month", "hour", "tenant_id", "category", "provider", "model", "operation"),
    *("user_id", "api_key_id", "task", "tier"),
)
GROUPINGS = [(), *combinations(COLUMNS, 1), *combinations(COLUMNS, 2), ("tenant_id", "month", "user_id")]
QUANTITIES: tuple[dict[str, Any], ...] = (
    {"input_tokens": 1200, "output_tokens": 345},
    {"characters": 240},
    {"audio_seconds": Decimal("61.5")},
    {"call_seconds": 31},
    {},
)


def a_call(number: int, randomness: Random) -> Any:
    attribution = Attribution(
        tenant=randomness.choice(["acme", "globex"]),
        category=randomness.choice([None, "bot", "voice"]),
        user=randomness.choice([None, "ann", "bob"]),
        api_key=randomness.choice([None, None, "key-1"]),
        task=randomness.choice([None, "answer"]),
        tier=randomness.choice([None, "gold", "free"]),
    )
    start_ms = randomness.randrange(3 * 86_400_000)
    return call(
        str(number),
        trace=number.to_bytes(16, "big"),
        start_ms=start_ms,
        end_ms=start_ms + 5,
        model=randomness.choice(["gpt-4o-mini", "gpt-4o"]),
        operation=randomness.choice(["chat", "speech_to_text", "text_to_speech"]),
        quantities=randomness.choice(QUANTITIES),
        attribution=attribution,
    )


@pytest.fixture
def filled(ledger: LedgerStore, database: Database) -> Database:
    """Three days of two tenants, of which nearly every call names something and some cost nobody knows."""
    randomness = Random(7)
    calls = [a_call(number, randomness) for number in range(1, 120)]
    for start in range(0, len(calls), 25):
        ledger.commit([request(*calls[start : start + 25])], price_by_sum)
    assert problems(database) == []
    return database


def of_records(columns: Sequence[str]) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL(statement("spend")).format(
        columns=sql.SQL("").join(sql.SQL("{}, ").format(sql.Identifier(column)) for column in columns),
        source=sql.SQL(statement("spend_of_records")),
        grouping=sql.SQL("group by {}").format(names) if columns else sql.SQL(""),
        order=sql.SQL("order by {}").format(names) if columns else sql.SQL(""),
    )


@pytest.mark.parametrize("tenant", [None, "acme"])
@pytest.mark.parametrize("name", PERIODS)
def test_a_report_is_what_the_records_say(filled: Database, database_url: str, name: str, tenant: str | None) -> None:
    """By every dimension and pair of dimensions; the calls that name no user are a group like any other."""
    period = PERIODS[name]
    parameters = {"since": period.since, "until": period.until, "tenant": tenant}
    with Reader.connect(database_url) as reader:
        for columns in GROUPINGS:
            found = [tuple(row.values()) for row in reader.spend(period, columns, tenant)]
            assert found == filled.execute(of_records(columns), parameters).fetchall(), columns
    assert bool(reader_has_rows(filled, parameters)) is (name != "before anything")


def reader_has_rows(database: Database, parameters: dict[str, Any]) -> list[Any]:
    return database.execute(of_records(()), parameters).fetchall()


@pytest.mark.parametrize("columns", [("user_id",), ("hour",), ("task", "day"), ("tier", "tenant_id"), ("api_key_id",)])
def test_a_month_by_user_task_or_hour_reads_no_record(database: Database, columns: tuple[str, ...]) -> None:
    """However many records there are: the query does not name them."""
    query = spend_query(PERIODS["days"], columns).as_string(database)
    assert "record_measure" not in query


def test_a_period_of_minutes_is_read_from_the_records(database: Database) -> None:
    """No sum of hours can answer for a part of one."""
    query = spend_query(PERIODS["ragged"], ("user_id",)).as_string(database)
    assert "record_measure" in query
