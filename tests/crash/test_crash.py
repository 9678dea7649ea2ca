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

from cost_exporter.store.embedded import EmbeddedPostgres
from tests.crash.clients import Clients
from tests.crash.services import CallfareUp, Double, Service, wait_for_database
from tests.crash.verdict import problems

pytestmark = pytest.mark.slow

RUN_SECONDS = float(os.environ.get("CALLFARE_CRASH_SECONDS", "12"))
CONTROL_SECONDS = 3.0
CLIENTS = 4


def kill_in_turn(kills: list[Callable[[], None]], run_seconds: float, pause_seconds: tuple[float, float]) -> int:
    """Kill one after the other at random moments, and return how often."""
    chance, end = random.Random(20_261_122), time.monotonic() + run_seconds
    for count, kill in enumerate(itertools.cycle(kills)):
        time.sleep(chance.uniform(*pause_seconds))
        if time.monotonic() > end:
            return count
        kill()
    raise AssertionError


def kill_and_restart(service: Service) -> Callable[[], None]:
    def kill() -> None:
        service.kill()
        service.start()

    return kill


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """After kills of the service and of its database, clients, records and rollups agree to the last digit."""
    service = CallfareUp(tmp_path / "data")
    service.start()
    clients = Clients(service.grpc_address, count=CLIENTS)
    clients.start()
    try:
        killed = kill_in_turn([kill_and_restart(service), service.kill_database], RUN_SECONDS, (1.5, 3.0))
    finally:
        all_acknowledged = clients.stop(patience_seconds=40)
    wait_for_database(service.database_url)
    found = problems(clients.ledgers, service.database_url)
    report(clients, killed)
    assert service.stop() == 0
    assert found[:20] == []
    assert all_acknowledged, "a client still waits for its acknowledgement"
    assert killed >= 2
    assert sum(ledger.failure_count for ledger in clients.ledgers) > 0, "no kill was felt: the test proved nothing"
    assert sum(ledger.duplicate_batch_count for ledger in clients.ledgers) > 0
    assert set().union(*(ledger.refusals for ledger in clients.ledgers)) == set()


def report(clients: Clients, killed: int) -> None:
    spans = sum(len(ledger.acknowledged) for ledger in clients.ledgers)
    repeated = sum(ledger.duplicate_batch_count for ledger in clients.ledgers)
    failed = sum(ledger.failure_count for ledger in clients.ledgers)
    print(f"{killed} kills, {spans} spans acknowledged, {repeated} batches repeated on purpose, {failed} calls failed")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("controls") / "postgres")
    yield server.start()
    server.stop()


def run_double(fault: str, url: str) -> list[str]:
    import psycopg

    name = fault.replace("-", "_")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    own_url = url.replace("/callfare?", f"/{name}?")
    service = Double(fault, own_url)
    service.start()
    clients = Clients(service.grpc_address, count=CLIENTS)
    clients.start()
    try:
        kill_in_turn([kill_and_restart(service)], CONTROL_SECONDS, (0.3, 0.6))
    finally:
        clients.stop(patience_seconds=20)
    # What the service holds when it stops in peace is its own: only kills may show the fault.
    time.sleep(1)
    service.stop()
    return problems(clients.ledgers, own_url)


def test_harness_finds_nothing_in_a_sound_service(database: str) -> None:
    """The control of the controls: a service without fault passes."""
    assert run_double("sound", database) == []


def test_harness_catches_acknowledging_before_commit(database: str) -> None:
    """A service that acknowledges first and commits later loses spans, and the harness says so."""
    assert any("is lost" in problem for problem in run_double("ack-before-commit", database))


def test_harness_catches_rolling_up_in_a_second_transaction(database: str) -> None:
    """A service that rolls up after its commit leaves wrong sums, and the harness says so."""
    found = run_double("second-transaction", database)
    assert any("sums up to" in problem for problem in found)
    assert not any("is lost" in problem for problem in found)
