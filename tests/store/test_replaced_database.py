"""What is wrong with the database is never blamed on what a span says, and the other way round."""

import base64
import random
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import StoreFault, StoreUnavailable
from cost_exporter.store.database.buckets import bucket_day_of, ensure_bucket
from cost_exporter.store.database.migrate import migrate
from cost_exporter.store.ledger.isolate import is_content_error
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import call, price_by_sum
from tests.store.requests import RECEIVED_AT_UNIX_NS, problems, request, rows

Database = psycopg.Connection[Any]
ONE_ACCEPTED = [Receipt(received=1, accepted=1)]
REFUSING_TRIGGER = """
create function callfare.no() returns trigger language plpgsql
as $$ begin raise exception 'no' using errcode = '22023'; end $$;
create trigger mine before insert on callfare.record for each row execute function callfare.no()
"""
FORGET_SUMS = (
    "delete from callfare.trace; delete from callfare.workflow_rollup; delete from callfare.workflow_total;"
    " delete from callfare.daily_rollup; delete from callfare.hourly_rollup; delete from callfare.spend_rollup"
)
NOT_OF_CONTENT = {"is_of_its_month", "bucket_bucket_check"}
"""Checks that only the state of the database can break."""


def partition_of(database: Database) -> sql.Identifier:
    (name,) = rows(database, "select relname from pg_class where oid = (select tableoid from callfare.record limit 1)")[
        0
    ]
    return sql.Identifier("callfare", name)


def replace_schema(database: Database, url: str) -> None:
    database.execute("drop schema callfare cascade")
    migrate(url)


def lose_partition(database: Database, _: str) -> None:
    database.execute(sql.SQL("drop table {}").format(partition_of(database)))
    database.execute(FORGET_SUMS)


def lose_partition_and_its_row(database: Database, url: str) -> None:
    lose_partition(database, url)
    database.execute("delete from callfare.bucket")


def detach_partition(database: Database, _: str) -> None:
    partition = partition_of(database)
    database.execute("delete from callfare.record")
    database.execute(FORGET_SUMS)
    database.execute(sql.SQL("alter table callfare.record detach partition {}").format(partition))


def detach_partition_and_lose_its_row(database: Database, url: str) -> None:
    detach_partition(database, url)
    database.execute("delete from callfare.bucket")


@pytest.mark.parametrize(
    "change",
    [
        replace_schema,
        lose_partition,
        lose_partition_and_its_row,
        detach_partition,
        detach_partition_and_lose_its_row,
    ],
)
def test_a_missing_partition_is_made(
    ledger: LedgerStore, database: Database, database_url: str, change: Callable[[Database, str], None]
) -> None:
    """Under a running service the database may be restored or replaced by one that lacks this month."""
    assert ledger.commit([request(call("a"))], price_by_sum) == ONE_ACCEPTED
    change(database, database_url)
    for _ in range(2):  # whatever the connection still remembers of the old tables costs one try at most
        try:
            receipts = ledger.commit([request(call("b"))], price_by_sum)
        except StoreUnavailable:
            continue
        break
    assert receipts == ONE_ACCEPTED
    assert rows(database, "select count(*) from callfare.record") == [(1,)]
    assert rows(database, "select count(*) from callfare.dead_letter") == [(0,)]
    assert problems(database) == []


def test_a_purged_month_is_not_made_again(ledger: LedgerStore, database: Database) -> None:
    """A span that comes in a month that was purged, as a replayed one may, is a dead letter."""
    ledger.commit([request(call("a"))], price_by_sum)
    lose_partition(database, "")
    database.execute("update callfare.bucket set purged_at = now()")
    assert ledger.commit([request(call("b"))], price_by_sum) == [Receipt(received=1, dead_letter=1)]
    ensure_bucket(database, bucket_day_of(RECEIVED_AT_UNIX_NS))
    assert rows(database, "select count(*) from callfare.record") == [(0,)]


@pytest.mark.parametrize(
    "change",
    [
        "alter table callfare.record add constraint mine check (model = 'none') not valid",
        "alter table callfare.record add constraint mine foreign key (trace_id) references callfare.mine",
        "alter table callfare.record rename column model to modell",
        "drop table callfare.daily_rollup cascade",
        "alter table callfare.record alter column service_tier set not null",
        "create unique index mine_once on callfare.trace ((1))",
        REFUSING_TRIGGER,
    ],
)
def test_what_only_the_database_can_cause_makes_no_dead_letter(
    ledger: LedgerStore, database: Database, database_url: str, change: str
) -> None:
    """It is UNAVAILABLE: the senders keep their spans until somebody has put the database right."""
    ledger.commit([request(call("a"))], price_by_sum)
    database.execute("update callfare.record set service_tier = 'flex'")
    database.execute("create table callfare.mine (trace_id uuid primary key)")
    database.execute("insert into callfare.mine select trace_id from callfare.record")
    database.execute(change)  # pyright: ignore[reportArgumentType]
    with pytest.raises(StoreUnavailable):
        ledger.commit([request(call("b", trace=b"B" * 16))], price_by_sum)
    assert rows(database, "select count(*) from callfare.dead_letter") == [(0,)]
    replace_schema(database, database_url)


def test_every_check_of_a_table_is_known_as_one_of_content_or_not(database: Database) -> None:
    """A new constraint has to be judged: may a span be blamed for it?"""
    names = rows(
        database,
        "select conname from pg_constraint join pg_class on pg_class.oid = conrelid"
        " where contype = 'c' and connamespace = 'callfare'::regnamespace"
        " and relname ~ '^(bucket|record|trace|workflow|daily|hourly|spend|journal|provider_call|dead)'",
    )
    assert len(names) > 30

    class Broken(psycopg.errors.CheckViolation):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self.name = name

        @property
        def diag(self) -> Any:
            return type("Diagnosis", (), {"schema_name": "callfare", "constraint_name": self.name})

    judged_as_content = {name for (name,) in names if is_content_error(Broken(name))}
    assert {name for (name,) in names} - judged_as_content <= NOT_OF_CONTENT
    assert not judged_as_content & NOT_OF_CONTENT
    assert not is_content_error(Broken("mine"))


def test_names_too_long_for_an_index_cost_their_own_span(ledger: LedgerStore, database: Database) -> None:
    """PostgreSQL counts that among its operational errors; it is content all the same."""
    rng = random.Random(7)

    def long_name() -> str:
        return base64.b85encode(rng.randbytes(800)).decode()

    attribution = Attribution(tenant=long_name(), category=long_name())
    batch = request(call("a"), call("b", attribution=attribution, model=long_name()), call("c"))
    assert ledger.commit([batch], price_by_sum) == [Receipt(received=3, accepted=2, dead_letter=1)]
    ((detail,),) = rows(database, "select detail from callfare.dead_letter")
    assert "ProgramLimitExceeded" in detail


def test_a_record_that_is_there_without_its_trace_is_a_fault_and_no_race(
    ledger: LedgerStore, database: Database
) -> None:
    """Answered as passing for ever it would stop its sender for ever; as a fault its time is bounded by the gate."""
    batch = request(call("a"))
    ledger.commit([batch], price_by_sum)
    database.execute("delete from callfare.trace")
    with pytest.raises(StoreFault, match="UniqueViolation"):
        ledger.commit([batch], price_by_sum)
    database.execute("delete from callfare.record;" + FORGET_SUMS)
