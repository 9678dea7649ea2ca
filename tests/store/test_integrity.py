"""The database itself refuses what must not be, and finds what is wrong; crashes and races leave nothing half done."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from cost_exporter.domain.facts import Facts, Receipt
from cost_exporter.errors import Overloaded, StoreUnavailable
from cost_exporter.store.ledger import committer as committer_module
from cost_exporter.store.ledger.committer import Committer
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import call, link, price_by_sum
from tests.store.requests import problems, request, rows, snapshot
from tests.support.waiting import PATIENCE_SECONDS, wait_until

Database = psycopg.Connection[Any]


@pytest.mark.parametrize(
    "change",
    [
        "update callfare.record set cost_usd = -1",
        "update callfare.record set cost_usd = 'NaN'",
        "update callfare.record set cost_usd = 1e12",
        "update callfare.record set cost_usd = null",
        "update callfare.record set status = 'unpriced'",
        "update callfare.record set status = 'free'",
        "update callfare.record set duplicate_of = 7",
        "update callfare.record set duration_ns = -1",
        "update callfare.record set started_ns = 1000",
        "update callfare.record set span_id = 0",
        "update callfare.record set tenant_id = ''",
        "update callfare.record set usage = '[]'",
        "update callfare.record set bucket = '2026-09-02'",
        "update callfare.record set leg = 'chat'",
        "update callfare.workflow_rollup set cost_usd = -0.1",
        "update callfare.workflow_rollup set unpriced_count = request_count + 1",
        "update callfare.daily_rollup set cost_usd = 'NaN'",
        "update callfare.trace set state = 'finalised'",
        "update callfare.trace set ended_at = started_at - interval '1 second'",
        "update callfare.trace set revenue_usd = -1",
        "insert into callfare.revenue_rule values (0, 'w', null, -1)",
        "insert into callfare.fee_rule values (0, 101, 0)",
    ],
)
def test_the_schema_refuses(ledger: LedgerStore, database: Database, change: str) -> None:
    """Every rule that the code relies on is a constraint."""
    ledger.commit([request(call("a"), link("root", parent=None))], price_by_sum)
    with pytest.raises(psycopg.errors.CheckViolation):
        database.execute(change)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("fault", "fix", "problem"),
    [
        ("record set cost_usd = cost_usd + 1e-12", "record set cost_usd = cost_usd - 1e-12", "workflow_rollup"),
        (
            "daily_rollup set cost_usd = cost_usd + 1e-12",
            "daily_rollup set cost_usd = cost_usd - 1e-12",
            "daily_rollup",
        ),
        ("workflow_rollup set request_count = 3", "workflow_rollup set request_count = 2", "workflow_rollup"),
        ("trace set record_count = 3", "trace set record_count = 2", "trace"),
    ],
)
def test_one_changed_digit_is_found(
    ledger: LedgerStore, database: Database, fault: str, fix: str, problem: str
) -> None:
    """The integrity check names the key that differs, whichever side was touched."""
    ledger.commit([request(call("a"), call("b"))], price_by_sum)
    assert problems(database) == []
    database.execute(f"update callfare.{fault}")  # pyright: ignore[reportArgumentType]
    assert problem in {row[0] for row in problems(database)}
    database.execute(f"update callfare.{fix}")  # pyright: ignore[reportArgumentType]


def test_writers_on_the_same_traces_neither_deadlock_nor_lose(database_url: str, database: Database) -> None:
    """Four writers send overlapping batches of shared traces in different orders; every span is stored once."""
    traces = [bytes([65 + number]) * 16 for number in range(6)]
    spans = [
        call(f"{number}", trace=trace, call_id=f"response:{number % 7}") for trace in traces for number in range(12)
    ]
    errors: list[BaseException] = []
    receipts: list[Receipt] = []

    def write(step: int) -> None:
        store = LedgerStore(database_url, seed=step)
        try:
            for start in range(0, len(spans), 8):
                turned = spans[::step] if step > 0 else spans[::-1]
                receipts.extend(store.commit([request(*turned[start : start + 8])], price_by_sum))
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=write, args=(step,)) for step in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert errors == []
    assert sum(receipt.accepted for receipt in receipts) == len(spans)
    assert rows(database, "select count(*) from callfare.record") == [(len(spans),)]
    assert rows(database, "select count(*) from callfare.dead_letter") == [(0,)]


class _Killer:
    """Kills the server side of a connection before its statement number `at`."""

    def __init__(self, database: Database, at: int) -> None:
        self._database = database
        self._left = at

    def before(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def killing(cursor: Any, *arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                pid = cursor.connection.info.backend_pid
                self._database.execute("select pg_terminate_backend(%s, 60000)", (pid,))
            return execute(cursor, *arguments, **named)

        return killing


def test_a_crash_before_any_statement_leaves_nothing_and_sending_again_all(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill the connection before each statement in turn: the tables are as before, and right after the retry."""
    first = request(call("a"), link("root", parent=None))
    second = request(call("a", end_ms=1500, quantities={"characters": 9}), call("b", call_id="response:1"))
    setup = LedgerStore(database_url)
    setup.commit([first], price_by_sum)
    setup.close()
    before = snapshot(database)
    execute = psycopg.Cursor.execute
    killed = 0
    for at in range(1, 40):
        store = LedgerStore(database_url)
        store.commit([first], price_by_sum)
        monkeypatch.setattr(psycopg.Cursor, "execute", _Killer(database, at).before(execute))
        try:
            store.commit([second], price_by_sum)
        except StoreUnavailable:
            killed += 1
        else:
            break
        finally:
            monkeypatch.setattr(psycopg.Cursor, "execute", execute)
            store.close()
        assert snapshot(database) == before
        assert problems(database) == []
    assert killed > 8
    after = snapshot(database)
    assert after != before
    final = LedgerStore(database_url)
    assert final.commit([second], price_by_sum)[0].accepted == 0
    final.close()
    assert snapshot(database) == after


# ---------------------------------------------------------------------------------------------------- committer


def test_requests_that_wait_together_share_a_transaction(database_url: str, database: Database) -> None:
    """What gathers while a commit is under way goes in one transaction, and each request has its own receipt."""
    entered, go_on = threading.Event(), threading.Event()
    groups: list[int] = []

    class Slow(LedgerStore):
        def commit(self, batches: Any, price: Any) -> list[Receipt]:
            groups.append(len(batches))
            entered.set()
            go_on.wait(PATIENCE_SECONDS)
            return super().commit(batches, price)

    committer = Committer(lambda: Slow(database_url), price_by_sum, writers=1)
    receipts: dict[int, Receipt] = {}

    def send(number: int) -> None:
        receipts[number] = committer.submit(request(call("a", trace=bytes([number]) * 16)))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(1, 6)]
    threads[0].start()
    assert entered.wait(PATIENCE_SECONDS)
    for thread in threads[1:]:
        thread.start()
    wait_until("the others wait", lambda: committer._queued_spans == 4)
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    committer.close()
    assert groups == [1, 4]
    assert list(receipts.values()) == [Receipt(received=1, accepted=1)] * 5
    assert rows(database, "select count(distinct xmin::text) from callfare.trace") == [(2,)]


class _Stuck:
    """A store that does not answer until it may."""

    def __init__(self) -> None:
        self.is_entered = threading.Event()
        self.may_go_on = threading.Event()
        self.is_closed = False

    def commit(self, batches: list[Facts], _price: Any, /) -> list[Receipt]:
        self.is_entered.set()
        self.may_go_on.wait(PATIENCE_SECONDS)
        return [Receipt(received=batch.span_count) for batch in batches]

    def close(self) -> None:
        self.is_closed = True


def test_a_full_queue_refuses_and_closing_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound the queue refuses as overloaded; what was taken is still stored when it closes."""
    monkeypatch.setattr(committer_module, "QUEUED_SPANS_MAX", 2)
    monkeypatch.setattr(committer_module, "QUEUE_WAIT_SECONDS_MAX", 0.01)
    store = _Stuck()
    committer = Committer(lambda: store, price_by_sum, writers=1)
    answers: list[Receipt] = []
    senders = [threading.Thread(target=lambda: answers.append(committer.submit(request(call("a"))))) for _ in range(3)]
    senders[0].start()
    assert store.is_entered.wait(PATIENCE_SECONDS)
    for sender in senders[1:]:
        sender.start()
    wait_until("the queue is full", lambda: committer._queued_spans == 2)
    with pytest.raises(Overloaded):
        committer.submit(request(call("b")))
    store.may_go_on.set()
    committer.close()
    for sender in senders:
        sender.join(PATIENCE_SECONDS)
    assert len(answers) == 3
    assert store.is_closed
    with pytest.raises(StoreUnavailable, match="shutting down"):
        committer.submit(request(call("c")))


def test_a_writer_survives_what_nobody_expected() -> None:
    """An unexpected exception is answered as passing, and the next request is stored."""

    class Moody(_Stuck):
        calls = 0

        def commit(self, batches: list[Facts], _price: Any, /) -> list[Receipt]:
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("nobody expected this")
            return [Receipt(received=1) for _ in batches]

    committer = Committer(Moody, price_by_sum, writers=1)
    with pytest.raises(StoreUnavailable, match="unexpected RuntimeError"):
        committer.submit(request(call("a")))
    assert committer.submit(request(call("a"))) == Receipt(received=1)
    committer.close()


def test_a_commit_is_told_of_before_it_is_answered() -> None:
    """Whoever has an answer finds the commit counted: an answer that crosses a pipe takes the count with it."""
    store, is_answered = _Stuck(), threading.Event()
    store.may_go_on.set()
    came_first: list[bool] = []

    def send() -> None:
        committer.submit(request(call("a")))
        is_answered.set()

    def observe(_: float) -> None:
        came_first.append(is_answered.wait(0.1))  # had it been given already, it would come at once

    committer = Committer(lambda: store, price_by_sum, writers=1, observe_seconds=observe)
    sender = threading.Thread(target=send)
    sender.start()
    sender.join(PATIENCE_SECONDS)
    committer.close()
    assert came_first == [False]
