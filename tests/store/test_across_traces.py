"""A call that is a framework's span in one trace and the SDK's root in another is billed once, however they arrive."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.quote import Quote
from cost_exporter.domain.settling.look_alike import ALIKE_PER_SLOT_MAX
from cost_exporter.domain.span import Call, EmitterRank
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import call, link, price_by_sum
from tests.store.requests import clear, problems, request, rows, snapshot
from tests.support.waiting import wait_until

Database = psycopg.Connection[Any]
ROOT = Path(__file__).parents[2]


def framework(number: int, **fields: Any) -> Call:
    """What the framework says of a call, in a trace of all of them."""
    start_ms = fields.pop("start_ms", 20 * number)
    defaults: dict[str, Any] = {
        "scope": "framework",
        "emitter_rank": EmitterRank.FRAMEWORK,
        "trace": b"f" * 16,
        "parent": "graph",
    } | fields
    return call(f"f{number}", start_ms=start_ms, end_ms=start_ms + 1000, **defaults)


def sdk(number: int, **fields: Any) -> Call:
    """What the SDK says of it, in a trace of its own."""
    start_ms = fields.pop("start_ms", 20 * number)
    trace = bytes([100 + number]) * 16
    defaults: dict[str, Any] = {
        "scope": "sdk",
        "emitter_rank": EmitterRank.NATIVE,
        "trace": trace,
        "parent": None,
    } | fields
    return call(f"s{number}", start_ms=start_ms + 3, end_ms=start_ms + 990, **defaults)


def billed(database: Database) -> list[str]:
    return [
        row[0] for row in rows(database, "select span_id from callfare.cost_record where status = 'priced' order by 1")
    ]


@pytest.mark.parametrize("is_framework_first", [True, False])
def test_two_halves_in_two_traces_are_one_call(
    ledger: LedgerStore, database: Database, is_framework_first: bool
) -> None:
    """Whichever comes first, the second one finds it; the SDK's is billed, and says in which trace it is."""
    halves = [framework(1), sdk(1)]
    for each in halves if is_framework_first else halves[::-1]:
        ledger.commit([request(each)], price_by_sum)
    assert billed(database) == [sdk(1).span_id.hex()]
    (duplicate,) = rows(
        database, "select issues::text, duplicate_trace_id from callfare.cost_record where status = 'duplicate'"
    )
    assert duplicate[0] == '["same_call:look_alike"]'
    assert problems(database) == []


def test_many_equal_calls_at_once_are_as_many_in_every_order(ledger: LedgerStore, database: Database) -> None:
    """Twelve parallel calls, all of one size, told twice; a thirteenth that only the framework tells of."""
    calls = [
        *(half(number) for number in range(12) for half in (framework, sdk)),
        framework(12),
        link("graph", parent=None, trace=b"f" * 16),
    ]
    ledger.commit([request(*calls)], price_by_sum)
    at_once = snapshot(database)
    assert len(billed(database)) == 13
    for seed in range(3):
        clear(database)
        order = random.Random(seed).sample(calls, len(calls))
        while order:
            ledger.commit([request(*order[:3])], price_by_sum)
            order = order[3:]
        assert snapshot(database) == at_once
        assert problems(database) == []


def test_calls_of_one_scope_join_no_traces(ledger: LedgerStore, database: Database) -> None:
    """Equal root calls of an application that is instrumented once: nothing hangs together."""
    for number in range(5):
        ledger.commit([request(sdk(number))], price_by_sum)
    assert len(billed(database)) == 5
    assert rows(database, "select count(*) from callfare.trace_join") == [(0,)]


def test_more_calls_alike_than_anybody_makes_prove_nothing(ledger: LedgerStore, database: Database) -> None:
    """A load test with one prompt: beyond a bound nothing is matched, for the whole set and in both orders."""
    count = ALIKE_PER_SLOT_MAX + 1
    halves = [framework(1), sdk(1)]
    crowd = [sdk(number, start_ms=1500) for number in range(2, 1 + count)]
    ledger.commit([request(*halves, *crowd)], price_by_sum)
    at_once = snapshot(database)
    assert len(billed(database)) == 1 + count
    for order in ([*halves, *crowd], [*crowd, *halves], [halves[0], *crowd, halves[1]]):
        clear(database)
        for each in order:
            ledger.commit([request(each)], price_by_sum)
        assert snapshot(database) == at_once
        assert rows(database, "select count(*) from callfare.trace_join") == [(0,)]
        assert rows(database, "select count(*) from callfare.look_alike") == [(0,)]


def test_both_halves_in_flight_are_one_call(database_url: str, database: Database) -> None:
    """Two writers at once, again and again: the one that is second waits for the first, and sees it."""
    for round_number in range(8):
        clear(database)
        # In some rounds the key is known before: then there is a row to wait for, else an insert.
        ledgers = [LedgerStore(database_url, seed=seed) for seed in range(2)]
        if round_number % 2:
            ledgers[0].commit([request(sdk(9, start_ms=2500))], price_by_sum)
        at_once = threading.Barrier(2)
        failures: list[BaseException] = []

        def commit(ledger: LedgerStore, half: Call) -> None:
            try:
                at_once.wait()  # noqa: B023
                ledger.commit([request(half)], price_by_sum)
            except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
                failures.append(error)  # noqa: B023

        threads = [
            threading.Thread(target=commit, args=each) for each in zip(ledgers, (framework(1), sdk(1)), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for ledger in ledgers:
            ledger.close()
        assert not failures
        assert sdk(1).span_id.hex() in billed(database)
        assert len(billed(database)) == 1 + round_number % 2
        assert problems(database) == []


def test_the_second_half_waits_while_the_first_is_not_committed(database_url: str, database: Database) -> None:
    """The key is known to both: the first writer is held after it looked, and the second one must not look past it."""
    first, second = (LedgerStore(database_url, seed=seed) for seed in range(2))
    first.commit([request(sdk(9, start_ms=2500))], price_by_sum)
    second.commit([request(sdk(8, start_ms=3600))], price_by_sum)  # looks for its partition once: not a wait of ours
    thread = threading.Thread(target=second.commit, args=([request(sdk(1))], price_by_sum))

    waited: list[bool] = []

    def held(usage: UsageRecord) -> Quote:
        if not thread.ident:
            thread.start()
            waiting = "select count(*) from pg_locks where not granted"
            wait_until("it waits, or is done", lambda: rows(database, waiting) != [(0,)] or not thread.is_alive())
            waited.append(thread.is_alive())
        return price_by_sum(usage)

    first.commit([request(framework(1))], held)
    thread.join()
    for ledger in (first, second):
        ledger.close()
    assert waited == [True]
    assert billed(database) == [sdk(number).span_id.hex() for number in (1, 8, 9)]


HALVES = 30


def commit_halves(database_url: str, which: str) -> None:
    """Commit one half of each call, one by one, from the beginning: run in a process that may be killed."""
    ledger = LedgerStore(database_url, seed=ord(which))
    for number in range(HALVES):
        half = framework(number, start_ms=0) if which == "f" else sdk(number, start_ms=0)
        ledger.commit([request(half)], price_by_sum)
    ledger.close()


@pytest.mark.slow
def test_halves_in_flight_survive_their_writers(database_url: str, database: Database) -> None:
    """Two processes store the halves of the same equal calls; both are killed again and again, and begin anew."""
    chance = random.Random(7)
    code = "import sys; from tests.store.test_across_traces import commit_halves; commit_halves(*sys.argv[1:])"
    commands = [[sys.executable, "-c", code, database_url, which] for which in "fs"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")])}
    for _ in range(4):
        stored = rows(database, "select count(*) from callfare.record")[0][0]
        writers = [subprocess.Popen(command, cwd=ROOT, env=environment) for command in commands]
        wait_until(
            "some more are stored or all writers are done",
            lambda stored=stored, writers=writers: (
                rows(database, "select count(*) from callfare.record")[0][0] > stored
                or all(writer.poll() is not None for writer in writers)
            ),
        )
        time.sleep(chance.uniform(0, 0.4))
        for writer in writers:
            writer.kill()
            writer.wait()
        assert problems(database) == []
    for writer in [subprocess.Popen(command, cwd=ROOT, env=environment) for command in commands]:
        assert writer.wait(timeout=120) == 0
    assert rows(database, "select count(*) from callfare.record") == [(2 * HALVES,)]
    assert billed(database) == sorted(sdk(number).span_id.hex() for number in range(HALVES))
    assert problems(database) == []
