"""Calls that were seen a while ago are kept elsewhere, and nothing that is billed depends on where."""

import random
import threading
from datetime import date, timedelta
from itertools import permutations
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.quote import Quote
from cost_exporter.domain.span import Call, EmitterRank
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.errors import StoreFault, StoreUnavailable
from cost_exporter.store.database.locks import Lock, lock_session, unlock_session
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.old_calls import AGE, move_old_calls
from cost_exporter.store.retention import purge_before
from tests.domain.builders import call, price_by_sum
from tests.store.requests import clear, problems, request, rows, snapshot

Database = psycopg.Connection[Any]
HOUR_MS = 3_600_000
NOW = timedelta(seconds=-60)
"""An age that every call has."""
COUNTS = "select (select count(*) from callfare.provider_call), (select count(*) from callfare.provider_call_old)"


def move(database: Database, age: timedelta = NOW) -> int:
    return move_old_calls(database, age=age, worthwhile=1)


def reported(number: int, start_ms: int = 0, **fields: Any) -> Call:
    """What one emitter of a call says, in a trace of its own. Of this size no call is looked for without an id."""
    defaults: dict[str, Any] = {"call_id": "response:same", "scope": f"scope {number}", "quantities": {"characters": 7}}
    trace = number.to_bytes(16, "big")
    return call("a", parent=None, trace=trace, start_ms=start_ms, end_ms=start_ms + 1000, **defaults | fields)


def mixture() -> list[Call]:
    """Several kinds of names: of a phone call, of sessions, of an id for too many calls, of pairs, and none at all."""
    phone = [reported(each, 9000 * each, call_id="phone:CA1", operation="phone_call") for each in range(1, 4)]
    session = [
        reported(each, 9000 * each, call_id="", session_id="s", session_sequence=each - 10) for each in range(10, 13)
    ]
    mock = [
        reported(each, 2000 * each, call_id="response:mock", scope="", quantities={"input_tokens": each})
        for each in range(20, 29)
    ]
    pairs = [reported(each, 500 * each, call_id=f"response:{each // 2}") for each in range(30, 36)]
    return [*phone, *session, *mock, *pairs, reported(40, call_id="")]


def billed(database: Database) -> int:
    return rows(database, "select count(*) from callfare.cost_record where status <> 'duplicate'")[0][0]


@pytest.mark.parametrize("seed", range(6))
def test_moves_in_between_change_nothing(ledger: LedgerStore, database: Database, seed: int) -> None:
    """Names of all kinds in any order, some of them moved after any commit."""
    calls = mixture()
    ledger.commit([request(*calls)], price_by_sum)
    at_once, count = snapshot(database), billed(database)
    assert count == 1 + 3 + 9 + 3 + 1
    clear(database)
    chance = random.Random(seed)
    moved = 0
    for each in chance.sample(calls, len(calls)):
        ledger.commit([request(each)], price_by_sum)
        if chance.random() < 0.6:
            moved += move(database)
    assert moved > 0
    assert snapshot(database) == at_once
    for each in calls:
        ledger.commit([request(each)], price_by_sum)
    assert snapshot(database) == at_once
    assert problems(database) == []


@pytest.mark.parametrize("hours", [0, 23, 25, 49, 24 * 40])
@pytest.mark.parametrize("is_moved", [False, True])
@pytest.mark.parametrize("kinds", [("response:x", "chat"), ("phone:CA1", "phone_call")])
def test_an_id_is_one_call_however_far_apart(
    ledger: LedgerStore, database: Database, hours: int, is_moved: bool, kinds: tuple[str, str]
) -> None:
    """The answer of a batch, or of a call in the background, is fetched whenever somebody wants it."""
    call_id, operation = kinds
    pair = [reported(each, each * hours * HOUR_MS, call_id=call_id, operation=operation) for each in (1, 2)]
    for order in permutations(pair):
        clear(database)
        for each in order:
            ledger.commit([request(each)], price_by_sum)
            assert not is_moved or move(database) == 1 or each is order[1]
        assert billed(database) == 1
        assert problems(database) == []


def test_a_slot_of_time_stays_where_it_is_locked(ledger: LedgerStore, database: Database) -> None:
    """Calls without an id are found by such keys, under lock."""
    framework = call(
        "f", parent="graph", scope="framework", emitter_rank=EmitterRank.FRAMEWORK, trace=b"f" * 16, end_ms=1000
    )
    sdk = call("s", parent=None, scope="sdk", trace=b"s" * 16, start_ms=3, end_ms=990)
    ledger.commit([request(framework)], price_by_sum)
    assert rows(database, COUNTS) == [(1, 0)]
    assert move(database) == 0
    ledger.commit([request(sdk)], price_by_sum)
    assert billed(database) == 1
    assert rows(database, COUNTS) == [(1, 0)]


def test_what_was_there_before_this_table_stays(ledger: LedgerStore, database: Database) -> None:
    """Nothing says which of these are slots of time."""
    ledger.commit([request(reported(1))], price_by_sum)
    database.execute("update callfare.provider_call set added_at = null")
    assert move(database) == 0
    ledger.commit([request(reported(2))], price_by_sum)
    assert billed(database) == 1


def test_only_what_is_old_and_enough_is_moved(ledger: LedgerStore, database: Database) -> None:
    """A writer under way may have looked for what is young."""
    ledger.commit([request(*(reported(each, call_id=f"response:{each}") for each in range(1, 5)))], price_by_sum)
    assert move_old_calls(database, worthwhile=1) == 0
    database.execute(
        "update callfare.provider_call set added_at = now() - %s where trace_id <> %s",
        (AGE + timedelta(seconds=1), (1).to_bytes(16, "big").hex()),
    )
    assert move_old_calls(database, worthwhile=4) == 0
    assert move_old_calls(database, worthwhile=3) == 3
    assert rows(database, COUNTS) == [(1, 3)]


def test_one_process_moves(database: Database, database_url: str) -> None:
    """Others leave it to that one."""
    database.execute("insert into callfare.provider_call values (1, gen_random_uuid(), '2026-01-01', false, now())")
    with psycopg.connect(database_url, autocommit=True) as other:
        lock_session(other, Lock.OLD_CALLS)
        assert move(database) == 0
        unlock_session(other, Lock.OLD_CALLS)
    assert move(database) == 1


def test_many_are_moved_in_parts(database: Database) -> None:
    """Each of them, with all that it says, the least and the greatest key too."""
    database.execute(
        "insert into callfare.provider_call"
        " select hashint8extended(n, 1), md5(n::text)::uuid, date '2026-01-01', n % 3 = 0, now()"
        " from generate_series(1, 40000) as n"
        " union all select key, md5(key::text)::uuid, date '2026-02-01', true, now()"
        " from unnest(array[-9223372036854775808, 9223372036854775807]) as key"
    )
    query = "select call_hash, trace_id, bucket, is_shared from callfare.{} order by 1"
    before = rows(database, query.format("provider_call"))
    assert move(database) == 40_002
    assert rows(database, query.format("provider_call_old")) == before
    assert rows(database, COUNTS) == [(0, 40_002)]


def test_an_id_that_is_in_both_tables_is_shared_if_either_says_so(database: Database) -> None:
    """Which no writer causes; a restore in parts may."""
    for key, is_shared_here, is_shared_there in ((1, False, True), (2, True, False), (3, False, False)):
        database.execute(
            "insert into callfare.provider_call values (%s, gen_random_uuid(), '2026-01-01', %s, now())",
            (key, is_shared_here),
        )
        database.execute(
            "insert into callfare.provider_call_old values (%s, gen_random_uuid(), '2026-01-01', %s)",
            (key, is_shared_there),
        )
    assert move(database) == 3
    known = rows(database, "select call_hash, is_shared from callfare.provider_call_old order by 1")
    assert known == [(1, True), (2, True), (3, False)]


def test_an_id_of_too_many_calls_is_known_wherever_it_is(ledger: LedgerStore, database: Database) -> None:
    """The ninth call comes when the first is old: from then on one flag is read, and no other trace."""
    calls = [
        reported(each, 2000 * each, scope="", quantities={"input_tokens": each}, call_id="response:mock")
        for each in range(1, 12)
    ]
    ledger.commit([request(calls[0])], price_by_sum)
    assert move(database) == 1
    for each in calls[1:9]:
        ledger.commit([request(each)], price_by_sum)
    assert rows(database, "select is_shared from callfare.provider_call_old") == [(True,)]
    ledger.commit([request(*calls[9:])], price_by_sum)
    assert billed(database) == len(calls)
    assert rows(database, "select count(*) from callfare.trace_join") == [(0,)]


def test_a_purge_forgets_the_old_ones_too(ledger: LedgerStore, database: Database) -> None:
    """With the records of their month."""
    ledger.commit([request(reported(1), reported(2, call_id="response:other"))], price_by_sum)
    move(database)
    ledger.commit([request(reported(3, call_id="response:third"))], price_by_sum)
    assert rows(database, COUNTS) == [(1, 2)]
    assert purge_before(database, date(2040, 1, 1)) != []
    assert rows(database, COUNTS) == [(0, 0)]


def test_none_is_missed_while_it_is_moved(database_url: str, database: Database) -> None:
    """Three writers report old calls again while these move: each stays one call."""
    count = 60
    first = LedgerStore(database_url)
    first.commit([request(*(_again(each, 0) for each in range(count)))], price_by_sum)
    first.close()
    stop = threading.Event()

    def keep_moving() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute(
                    "with gone as (delete from callfare.provider_call_old where call_hash in ("
                    "  select call_hash from callfare.provider_call_old limit 20) returning *)"
                    " insert into callfare.provider_call select *, now() from gone"
                )
                move(connection)

    def report(writer: int) -> None:
        ledger = LedgerStore(database_url, seed=writer)
        for each in range(count):
            ledger.commit([request(_again(each, writer))], price_by_sum)
        ledger.close()

    mover = threading.Thread(target=keep_moving)
    mover.start()
    writers = [threading.Thread(target=report, args=(writer,)) for writer in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    mover.join()
    assert rows(database, "select count(*) from callfare.record") == [(4 * count,)]
    assert billed(database) == count
    assert problems(database) == []


@pytest.mark.parametrize("times", [1, 4, 5])
def test_a_writer_who_is_overtaken_starts_again(
    database_url: str, ledger: LedgerStore, database: Database, times: int
) -> None:
    """Another one stores one of its calls between its look and its write; five times, and it lets its sender try."""
    other = LedgerStore(database_url)
    calls = [reported(200 + each, call_id=f"response:{each}", quantities={"characters": each}) for each in range(6)]
    others = iter([reported(300 + each, call_id=f"response:{each}") for each in range(times)])

    def price(usage: UsageRecord) -> Quote:
        if usage.quantities == calls[-1].usage.quantities and (late := next(others, None)) is not None:
            other.commit([request(late)], price_by_sum)
        return price_by_sum(usage)

    if times == 5:
        with pytest.raises(StoreUnavailable, match="in each other's way") as refused:
            ledger.commit([request(*calls)], price)
        assert not isinstance(refused.value, StoreFault)
    ledger.commit([request(*calls)], price)
    other.close()
    assert rows(database, "select count(*) from callfare.record") == [(len(calls) + times,)]
    assert billed(database) == len(calls)
    assert problems(database) == []


def _again(number: int, writer: int) -> Call:
    """One call as this writer reports it, in a trace of its own."""
    return reported(1 + 1000 * writer + number, 100 * number, call_id=f"response:{number}", scope=f"writer {writer}")
