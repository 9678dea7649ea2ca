"""Ingest in worker processes, on a real PostgreSQL: it answers as one process does, and survives its workers."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from decimal import Decimal as D
from pathlib import Path
from unittest.mock import patch

import psutil
import psycopg
import pytest

from cost_exporter.assembly import IngestOptions, price_by
from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import CallfareError, StoreUnavailable, TooLarge, Undecodable
from cost_exporter.prices.price_file import read_price_file
from cost_exporter.receive.answer import answer_to
from cost_exporter.receive.books import RefreshedBooks
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity
from cost_exporter.receive.intake import Intake, LocalIntake
from cost_exporter.receive.observed import Observed
from cost_exporter.receive.stuck import StuckBatches
from cost_exporter.receive.workers.frames import WorkerRequest
from cost_exporter.receive.workers.pool import WorkerPool
from cost_exporter.receive.workers.process import WorkerEnded, WorkerProcess
from cost_exporter.store.price_books import save_price_file
from tests.receive import bodies
from tests.store.requests import clear, problems
from tests.support.processes import is_asleep
from tests.support.stored import as_url, filling, new_database
from tests.support.waiting import PATIENCE_SECONDS, RUN_SECONDS_MAX, wait_until

BOMB = bodies.field(1, bodies.field(2, b"\x12\x00" * 50_001))
DEEP = bodies.body(bodies.span(70), bodies.span(71) + bodies.event(b"deep", bodies.nested(60)))
PRICES = """
prices:
  - {provider: openai, model: "gpt-zz", unit: input_tokens, price: "7", per: "1000000"}
"""


class Seen:
    """An `Observer` that remembers."""

    def __init__(self) -> None:
        self.observed: list[Observed] = []
        self.commit_seconds: list[float] = []

    def stored(self, observed: Observed) -> None:
        self.observed.append(observed)

    def committed(self, duration_seconds: float) -> None:
        self.commit_seconds.append(duration_seconds)


Pool = tuple[WorkerPool, Seen]


@contextmanager
def pool_on(url: str, count: int = 2, stuck: StuckBatches | None = None, **options: bool) -> Iterator[Pool]:
    seen = Seen()
    pool = WorkerPool(IngestOptions(database_url=as_url(url), **options), seen, count=count, stuck=stuck)
    try:
        yield pool, seen
    finally:
        pool.close()


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    """Workers that know nothing yet."""
    with pool_on(database_url) as running:
        yield running


@pytest.fixture(scope="module")
def shared_database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    with new_database(postgres_url, "callfare_shared_by_workers", template=template_database) as url:
        yield url


@pytest.fixture(scope="module")
def running_pool(shared_database_url: str) -> Iterator[Pool]:
    with pool_on(shared_database_url) as running:
        yield running


@pytest.fixture
def shared_pool(running_pool: Pool, shared_database_url: str) -> Iterator[Pool]:
    """Workers that other tests had before, all there, and an empty ledger: two programs take seconds to start."""
    workers, seen = running_pool
    wait_until("both are there", lambda: len(workers.in_flight_counts) == 2)
    with psycopg.connect(shared_database_url, autocommit=True) as database:
        clear(database)
    seen.observed.clear()
    seen.commit_seconds.clear()
    yield running_pool
    with psycopg.connect(shared_database_url) as database:
        assert problems(database) == []


def take(intake: Intake, *numbers: int) -> Receipt:
    return intake.take(bodies.body(*map(bodies.span, numbers)), Encoding.PROTOBUF, SenderIdentity())


@contextmanager
def database_held(url: str) -> Iterator[None]:
    """Let no record be written meanwhile: whatever is taken stays in flight."""
    with psycopg.connect(url) as connection:
        connection.execute("lock table callfare.record in share mode")
        yield


@contextmanager
def takes_in_flight(pool: WorkerPool, url: str, count: int) -> Iterator[tuple[list["Future[Receipt]"], ExitStack]]:
    """Lend so many requests that are with the workers, and what holds the database: close it to let them commit."""
    handed_over: list[int] = []
    send = WorkerProcess.send

    def noted(worker: WorkerProcess, request: WorkerRequest) -> None:
        send(worker, request)
        handed_over.append(request.number)

    with ThreadPoolExecutor(count) as senders, ExitStack() as held, patch.object(WorkerProcess, "send", noted):
        held.enter_context(database_held(url))
        sent = [senders.submit(take, pool, number) for number in range(count)]
        wait_until("all are handed over", lambda: len(handed_over) == count)
        # A worker that sleeps has read them all, and its writers wait for the database.
        wait_until("all are at work", lambda: all(map(is_asleep, pool.in_flight_counts)))
        assert sum(pool.in_flight_counts.values()) == count
        yield sent, held


def outcome(intake: Intake, namespace: str, body: bytes, encoding: Encoding) -> object:
    try:
        return intake.take(body, encoding, SenderIdentity(namespace=namespace, tenant_is_trusted=False))
    except CallfareError as error:
        return type(error), str(error), answer_to(error).reason


def test_workers_answer_as_one_process_does(pool: Pool, database_url: str) -> None:
    """Good and bad, new and repeated: the same receipts and the same errors, text for text."""
    options = IngestOptions(database_url=as_url(database_url))
    books = RefreshedBooks(options.database_url)
    local = LocalIntake(options, price_by(lambda: books.book), Seen())
    requests = [
        (bodies.body(bodies.span(1)), Encoding.PROTOBUF),
        (bodies.body(bodies.span(1)), Encoding.PROTOBUF),
        (bodies.body(bodies.span(1, tokens=13)), Encoding.PROTOBUF),
        (DEEP, Encoding.PROTOBUF),
        (b"", Encoding.PROTOBUF),
        (b"\xff\xff nonsense", Encoding.PROTOBUF),
        (b"{nonsense", Encoding.JSON),
        (BOMB, Encoding.PROTOBUF),
    ]
    try:
        by_workers = [outcome(pool[0], "acme", *request) for request in requests]
        by_one = [outcome(local, "beta", *request) for request in requests]
    finally:
        local.close()
        books.close()
    assert by_workers == by_one
    assert {each[0] for each in by_workers if isinstance(each, tuple)} == {Undecodable, TooLarge}


def test_what_workers_observe_is_told(pool: Pool) -> None:
    """Receipts, commits and new scopes reach the process that counts, each once."""
    workers, seen = pool
    first, again = take(workers, 1, 2), take(workers, 1, 2)
    assert [each.receipt for each in seen.observed] == [first, again]
    assert (first.accepted, again.duplicate) == (2, 2)
    assert [each.new_scopes for each in seen.observed] == [(("", ""),), ()]
    assert len(seen.commit_seconds) == 2


def test_one_worker_is_filled_before_the_next(shared_pool: Pool, shared_database_url: str) -> None:
    """Small requests at the same time gather in one, where they share its commits."""
    with takes_in_flight(shared_pool[0], shared_database_url, 6) as (sent, held):
        assert sorted(shared_pool[0].in_flight_counts.values()) == [0, 6]
        held.close()
        assert sum(each.result(PATIENCE_SECONDS).accepted for each in sent) == 6


def test_large_requests_at_the_same_time_go_to_all_workers(shared_pool: Pool, shared_database_url: str) -> None:
    """A worker that has enough is not given more while another has less."""
    with ThreadPoolExecutor(4) as senders, database_held(shared_database_url):
        large = bodies.body(bodies.span(1) + bodies.attribute(b"a", bodies.field(1, b"x" * 300_000)))
        sent = [senders.submit(shared_pool[0].take, large, Encoding.PROTOBUF, SenderIdentity()) for _ in range(4)]
        wait_until("both are at work", lambda: sorted(shared_pool[0].in_flight_counts.values()) == [2, 2])
    assert sum(each.result(PATIENCE_SECONDS).received for each in sent) == 4


@pytest.mark.parametrize("encoding", [Encoding.PROTOBUF, Encoding.JSON])
def test_what_is_begun_is_answered_as_what_is_taken(shared_pool: Pool, encoding: Encoding) -> None:
    """Without a thread that waits for each request: the same receipts, and the same errors."""
    good = bodies.body(*map(bodies.span, range(3))) if encoding is Encoding.PROTOBUF else b'{"resourceSpans": []}'
    begun = [shared_pool[0].begin(good, encoding, SenderIdentity()) for _ in range(40)]
    received = [each.result(PATIENCE_SECONDS).received for each in begun]
    assert received == [3 if encoding is Encoding.PROTOBUF else 0] * 40
    with pytest.raises(Undecodable):
        shared_pool[0].begin(b"{nonsense", encoding, SenderIdentity()).result(PATIENCE_SECONDS)


def test_a_hung_worker_is_replaced_and_its_requests_are_refused_for_the_moment(database_url: str) -> None:
    """One that was stopped, or is stuck, gives no sign of life: its senders do not wait for ever."""
    options = IngestOptions(database_url=as_url(database_url))
    workers = WorkerPool(options, Seen(), count=1, silent_seconds_max=2.0)
    try:
        (pid,) = workers.in_flight_counts
        os.kill(pid, signal.SIGSTOP)
        held = workers.begin(bodies.body(bodies.span(1)), Encoding.PROTOBUF, SenderIdentity())
        wait_until("it is known", lambda: not workers.is_ready or pid not in workers.in_flight_counts)
        with pytest.raises(StoreUnavailable):
            held.result(PATIENCE_SECONDS)
        wait_until("there is another", lambda: workers.in_flight_counts and pid not in workers.in_flight_counts)
        assert take(workers, 1).accepted == 1
        assert workers.is_ready
    finally:
        workers.close()


def test_small_requests_share_commits(shared_pool: Pool, shared_database_url: str) -> None:
    """What waits in a worker while its writers are busy is committed together."""
    workers, seen = shared_pool
    with takes_in_flight(workers, shared_database_url, 30) as (sent, held):
        held.close()
        assert sum(each.result(PATIENCE_SECONDS).accepted for each in sent) == 30
    assert len(seen.commit_seconds) <= 12


def test_a_killed_worker_loses_nothing_and_is_replaced(shared_pool: Pool, shared_database_url: str) -> None:
    """Its senders are told to try again, the other notices nothing; what is sent again is stored once."""
    workers, _ = shared_pool
    with takes_in_flight(workers, shared_database_url, 4) as (sent, held):
        victim, other = sorted(workers.in_flight_counts, key=lambda pid: -workers.in_flight_counts[pid])
        os.kill(victim, signal.SIGKILL)
        wait_until("its senders know", lambda: all(each.done() for each in sent))
        failed = [each.exception() for each in sent]
        assert {type(each) for each in failed} == {WorkerEnded}
        assert {str(each) for each in failed} == {"a worker ended; try again"}
        wait_until("there is another worker", lambda: len(workers.in_flight_counts) == 2)
        assert victim not in workers.in_flight_counts
        assert other in workers.in_flight_counts
        held.close()
    assert take(workers, 0, 1, 2, 3).received == 4
    assert take(workers, 0, 1, 2, 3).duplicate == 4
    with psycopg.connect(shared_database_url) as connection:
        assert connection.execute("select count(*) from callfare.cost_record").fetchone() == (4,)


DEADLY = """
import os
import cost_exporter.receive.gate as gate

def decode(body, *arguments, _decode=gate.decode, **options):
    if b"deadly" in body:
        os._exit(9)
    return _decode(body, *arguments, **options)

gate.decode = decode
"""


@pytest.fixture
def deadly_pool(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[WorkerPool, Seen, list[float]]]:
    """Workers that end when they see a certain word, as a fault in the decoder or a lack of memory would end them."""
    (tmp_path / "sitecustomize.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    now_seconds = [1_000.0]
    stuck = StuckBatches(3_600, monotonic_seconds=lambda: now_seconds[0])
    with pool_on(database_url, stuck=stuck) as (workers, seen):
        yield workers, seen, now_seconds


def take_when_ready(pool: WorkerPool, body: bytes) -> Receipt:
    wait_until("both are there", lambda: len(pool.in_flight_counts) == 2)
    return pool.take(body, Encoding.PROTOBUF, SenderIdentity())


def test_what_ends_each_worker_is_given_up_after_an_hour_and_costs_its_own_span(
    deadly_pool: tuple[WorkerPool, Seen, list[float]], database_url: str
) -> None:
    """Until then its sender tries again; then the good spans are stored, and the other workers notice nothing."""
    workers, seen, now_seconds = deadly_pool
    deadly = bodies.span(3) + bodies.attribute(b"deadly", bodies.field(1, b"x"))
    body = bodies.body(*(bodies.span(number) for number in (0, 1, 2)), deadly)
    for now_seconds[0] in (1_000.0, 1_000.0 + 3_599):
        with pytest.raises(WorkerEnded):
            take_when_ready(workers, body)
    now_seconds[0] += 1
    receipt = take_when_ready(workers, body)
    assert (receipt.received, receipt.accepted, receipt.dead_letter) == (4, 3, 1)
    assert sum(each.receipt.accepted for each in seen.observed) == 3
    with pytest.raises(WorkerEnded):
        take_when_ready(workers, body)  # the next time it has an hour of its own
    assert take(workers, 1).duplicate == 1
    with psycopg.connect(database_url) as connection:
        kept = connection.execute("select reason, detail, trace_id, span_id from callfare.dead_letter").fetchall()
    detail = "the worker ended each time; the request was not decoded"
    assert kept == [("our_fault", detail, bodies.trace_id(0).hex(), bodies.span_id(3).hex())]


def test_what_ends_each_worker_and_cannot_be_taken_apart_is_one_dead_letter(
    deadly_pool: tuple[WorkerPool, Seen, list[float]], database_url: str
) -> None:
    """That there was something is all that can be known."""
    workers, _, now_seconds = deadly_pool
    with pytest.raises(WorkerEnded):
        take_when_ready(workers, b"deadly")
    now_seconds[0] += 3_600
    assert take_when_ready(workers, b"deadly").dead_letter == 1
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select trace_id, span_id from callfare.dead_letter").fetchall() == [("", "")]


def test_a_worker_that_keeps_ending_does_not_stop_the_others(shared_pool: Pool) -> None:
    """Killed again and again, it is started again and again, and requests are answered by the other one."""
    workers, _ = shared_pool
    stays = max(workers.in_flight_counts)
    for number in range(3):
        (victim,) = set(workers.in_flight_counts) - {stays}
        os.kill(victim, signal.SIGKILL)
        wait_until("its end is noticed", lambda: victim not in workers.in_flight_counts)  # noqa: B023 - looked at now
        assert take(workers, number).accepted == 1
        wait_until("it is there again", lambda: len(workers.in_flight_counts) == 2)


def test_stop_signals_are_not_for_workers(shared_pool: Pool) -> None:
    """A SIGTERM or Ctrl-C that reaches the whole group leaves the workers to the service."""
    workers, _ = shared_pool
    before = list(workers.in_flight_counts)
    for pid in before:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    assert take(workers, 1).accepted == 1
    assert list(workers.in_flight_counts) == before


def test_closing_lets_workers_answer_and_leaves_none(database_url: str) -> None:
    """What is in flight is committed and answered; then no process is left."""
    with pool_on(database_url) as (workers, _):
        pids = list(workers.in_flight_counts)
        with takes_in_flight(workers, database_url, 4) as (sent, held):
            closing = threading.Thread(target=workers.close)
            closing.start()
            held.close()
            assert [each.result(PATIENCE_SECONDS).accepted for each in sent] == [1] * 4
            closing.join(PATIENCE_SECONDS)
        assert not any(map(psutil.pid_exists, pids))
        with pytest.raises(StoreUnavailable):
            take(workers, 9)


def test_a_worker_that_cannot_start_says_why() -> None:
    """Without a database there is no pool, and no process is left behind."""
    before = set(psutil.Process().children())
    with pytest.raises(StoreUnavailable, match="a worker cannot reach the database"):
        WorkerPool(IngestOptions(database_url="postgresql://me:geheim@127.0.0.1:1/x"), Seen(), count=2)
    assert set(psutil.Process().children()) <= before


def test_new_prices_reach_the_workers(pool: Pool, database_url: str, tmp_path: Path) -> None:
    """A version that is loaded prices what comes a second later, whichever worker takes it."""
    path = tmp_path / "ours.yaml"
    path.write_text(PRICES)
    numbers = iter(range(1, 100_000))
    with psycopg.connect(database_url, autocommit=True) as connection:

        def cost_of_next() -> D | None:
            number = next(numbers)
            # In a trace of its own: within one, the same usage keeps its price.
            unknown = bodies.span(number).replace(b"gpt-4o", b"gpt-zz")
            unknown = unknown.replace(bodies.trace_id(0), bodies.trace_id(number))
            pool[0].take(bodies.body(unknown), Encoding.PROTOBUF, SenderIdentity())
            row = connection.execute(
                "select cost_usd from callfare.cost_record where span_id = %s", (bodies.span_id(number).hex(),)
            ).fetchone()
            assert row is not None
            return row[0]

        assert cost_of_next() is None
        save_price_file(connection, read_price_file(path))
        wait_until("new records have the price", lambda: cost_of_next() == D(7) * 12 / 1_000_000)


def test_options_reach_the_workers(database_url: str) -> None:
    """With forwarding on, a stored call waits in the outbox."""
    with pool_on(database_url, is_forwarding=True) as (workers, _):
        workers.take(filling(time.time_ns()), Encoding.PROTOBUF, SenderIdentity())
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) > 0 from callfare.outbox").fetchone() == (True,)


def test_the_database_is_not_on_the_command_line(shared_pool: Pool) -> None:
    """Whoever lists processes sees no secret."""
    assert all("postgresql" not in " ".join(psutil.Process(pid).cmdline()) for pid in shared_pool[0].in_flight_counts)


def test_workers_import_no_server() -> None:
    """What only the service's own process needs costs no memory in each of them."""
    code = "import sys, cost_exporter.receive.workers.worker; print(*{name.split('.')[0] for name in sys.modules})"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=RUN_SECONDS_MAX
    )
    loaded = set(ran.stdout.split())
    assert not {"grpc", "starlette", "uvicorn", "prometheus_client", "pydantic", "typer"} & loaded
    assert "psycopg" in loaded
