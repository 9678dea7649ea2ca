"""Kill the service and its PostgreSQL in turn under load: nothing lost, nothing doubled, every sum exact.

`make crash` runs this for ten minutes; the default is short enough for every change.
"""

import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.clients import Clients
from tests.crash.services import CallfareUp, Double, Service, wait_for_database
from tests.crash.verdict import problems
from tests.support.stored import open_folder

pytestmark = pytest.mark.slow

RUN_SECONDS = float(os.environ.get("CALLFARE_CRASH_SECONDS", "12"))
CONTROL_KILLS = 6
CLIENTS = 4


def kill_in_turn(
    kills: list[Callable[[], None]], clients: Clients, pause_seconds: tuple[float, float], *, seconds: float = 0
) -> int:
    """Kill one after the other at random moments, for so long and each at least once, and return how often.

    Time alone would not do: on a slow machine it is over before a killed service serves anybody again.
    """
    chance, end = random.Random(20_261_122), time.monotonic() + seconds
    for count, kill in enumerate(itertools.cycle(kills)):
        time.sleep(chance.uniform(*pause_seconds))
        if count >= len(kills) and time.monotonic() > end:
            return count
        clients.await_progress()
        kill()
    raise AssertionError


def kill_and_restart(service: Service) -> Callable[[], None]:
    def kill() -> None:
        service.kill()
        service.start()

    return kill


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder / "data"


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.full), 2])
def test_kills_lose_nothing_and_double_nothing(data_dir: Path, processes: int) -> None:
    """After kills of service, workers and database, clients, records and rollups agree to the last digit."""
    service = CallfareUp(data_dir, processes=processes)
    service.start()
    kills = [kill_and_restart(service), service.kill_database]
    if processes > 1:
        kills.insert(0, service.kill_a_worker)
    clients = Clients(service.grpc_address, count=CLIENTS)
    clients.start()
    try:
        killed = kill_in_turn(kills, clients, (1.5, 3.0), seconds=RUN_SECONDS)
    finally:
        all_acknowledged = clients.stop()
    wait_for_database(service.database_url)
    found = problems(clients.ledgers, service.database_url)
    report(clients, killed)
    assert service.stop() == 0
    assert found[:20] == []
    assert all_acknowledged, "a client still waits for its acknowledgement"
    assert sum(ledger.failure_count for ledger in clients.ledgers) > 0, "no kill was felt: the test proved nothing"
    assert sum(ledger.duplicate_batch_count for ledger in clients.ledgers) > 0
    assert set().union(*(ledger.refusals for ledger in clients.ledgers)) == set()


def report(clients: Clients, killed: int) -> None:
    spans = sum(len(ledger.acknowledged) for ledger in clients.ledgers)
    repeated = sum(ledger.duplicate_batch_count for ledger in clients.ledgers)
    failed = sum(ledger.failure_count for ledger in clients.ledgers)
    print(f"{killed} kills, {spans} spans acknowledged, {repeated} batches repeated on purpose, {failed} calls failed")


def run_double(fault: str, url: str) -> list[str]:
    service = Double(fault, url)
    service.start()
    clients = Clients(service.grpc_address, count=CLIENTS)
    clients.start()
    try:
        kill_in_turn([kill_and_restart(service)] * CONTROL_KILLS, clients, (0.3, 0.6))
    finally:
        clients.stop()
    # What the service holds when it stops in peace is its own: only kills may show the fault.
    time.sleep(1)
    service.stop()
    return problems(clients.ledgers, url)


def test_harness_finds_nothing_in_a_sound_service(empty_database_url: str) -> None:
    """The control of the controls: a service without fault passes."""
    assert run_double("sound", empty_database_url) == []


def test_harness_catches_acknowledging_before_commit(empty_database_url: str) -> None:
    """A service that acknowledges first and commits later loses spans, and the harness says so."""
    assert any("is lost" in problem for problem in run_double("ack-before-commit", empty_database_url))


def test_harness_catches_rolling_up_in_a_second_transaction(empty_database_url: str) -> None:
    """A service that rolls up after its commit leaves wrong sums, and the harness says so."""
    found = run_double("second-transaction", empty_database_url)
    assert any("sums up to" in problem for problem in found)
    assert not any("is lost" in problem for problem in found)
