"""`callfare consume` as a process of its own, and traffic through a topic whose cost is known."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
from confluent_kafka import Producer
from psycopg.conninfo import conninfo_to_dict

from tests.crash.traffic import Batch, ClientLedger, batches
from tests.end_to_end.running import Program, answers
from tests.support.ports import free_ports
from tests.support.stored import as_url
from tests.support.waiting import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).parent.parent.parent


class Consumer(Program):
    """A member of the group."""

    def __init__(
        self, folder: Path, database_url: str, *arguments: str, program: tuple[str, ...] = (), **variables: str
    ) -> None:
        """`program` starts it in another way than `callfare` itself."""
        (self.web,) = free_ports(1)
        super().__init__(
            command=[sys.executable, *(program or ("-m", "cost_exporter")), "consume", *arguments],
            folder=folder,
            is_ready=lambda: answers(f"http://127.0.0.1:{self.web}/readyz"),
            environment={
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "instrumentation")]),
                "CALLFARE_DATABASE_URL": url_of(database_url),
                "CALLFARE_KAFKA_WEB_ADDR": f"127.0.0.1:{self.web}",
                **variables,
            },
        )

    def metric(self, name: str) -> float | None:
        """The sum of a metric's samples; None where it has none."""
        text = httpx.get(f"http://127.0.0.1:{self.web}/metrics", timeout=60).text
        found = [
            float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith((name + "{", name + " "))
        ]
        return sum(found) if found else None


def url_of(database_url: str) -> str:
    """The form that settings take; tests have the other one."""
    if database_url.startswith("postgres"):
        return database_url
    assert conninfo_to_dict(database_url)
    return as_url(database_url)


class Sender:
    """Produces batches and knows which of them Kafka has."""

    def __init__(self, producer: Producer, topic: str, *, seed: int = 1) -> None:
        self.ledger = ClientLedger()
        self._producer = producer
        self._topic = topic
        self._batches: Iterator[Batch] = batches(seed, time.time_ns())

    def send(self, count: int, *, waits: bool = True) -> None:
        """Produce so many messages, over all partitions."""
        for _ in range(count):
            batch = next(self._batches)

            def done(error: object, _message: object, batch: Batch = batch) -> None:
                assert error is None, error
                self.ledger.add(batch)

            self._producer.produce(self._topic, batch.payload, on_delivery=done)
            self._producer.poll(0)
        if waits:
            self.flush()

    def flush(self) -> None:
        """Wait until Kafka has everything."""
        assert self._producer.flush(PATIENCE_SECONDS) == 0

    @property
    def span_count(self) -> int:
        return len(self.ledger.acknowledged)


def record_count(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select count(*) from callfare.record").fetchone()
    assert row is not None
    return int(row[0])


def wait_for_records(database_url: str, count: int) -> None:
    """Return when so many are stored; also while the database is away."""

    def stored() -> int | None:
        try:
            found = record_count(database_url)
        except psycopg.OperationalError:
            return None
        return found if found >= count else None

    wait_until(f"{count} records", stored)
