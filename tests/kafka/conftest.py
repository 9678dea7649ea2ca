from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.binaries import unavailable
from tests.end_to_end.running import Program
from tests.kafka.running import Consumer
from tests.support.kafka import Broker, jars

RunConsumer = Callable[..., Consumer]


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """Skip where there is no Kafka to be had."""
    _, problem = jars()
    if problem:
        unavailable(problem)


@pytest.fixture(scope="module")
def broker(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that the tests of a file share; each has its own topic and group."""
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def started() -> Iterator[Callable[[Program], Program]]:
    """Starts a program and kills it after the test, whatever happened."""
    programs: list[Program] = []

    def start(program: Program) -> Program:
        programs.append(program)
        program.start()
        return program

    yield start
    for program in programs:
        program.kill()


@pytest.fixture
def run_consumer(tmp_path: Path, broker: Broker, started: Callable[[Program], Program]) -> RunConsumer:
    """Runs `callfare consume` on a database and a topic."""
    numbers = iter(range(100))

    def run(database_url: str, topic: str, *arguments: str, **variables: str) -> Consumer:
        folder = tmp_path / f"consumer-{next(numbers)}"
        variables = {"CALLFARE_KAFKA_BROKER": broker.address, "CALLFARE_KAFKA_TOPIC": topic} | variables
        consumer = Consumer(folder, database_url, *arguments, **variables)
        started(consumer)
        return consumer

    return run
