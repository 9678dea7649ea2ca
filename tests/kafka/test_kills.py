"""Kill consumer, broker and database in turn while messages come: nothing lost, nothing doubled, every sum exact."""

import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from cost_exporter.store.database.embedded import EmbeddedPostgres
from tests.crash.verdict import problems
from tests.end_to_end.running import Program
from tests.kafka.running import Consumer, Sender, record_count, wait_for_records
from tests.support.kafka import Broker
from tests.support.stored import open_folder
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.java]
QUICK = {"CALLFARE_KAFKA_GROUP": "kills"}


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that may be killed, with a flush at each commit."""
    with open_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres")
        server.start()
        yield server
        server.stop()


def kill_database(server: EmbeddedPostgres) -> None:
    """End the postmaster as a crash does, and bring the server back."""
    import os

    os.kill(int((server.data_dir / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    wait_until("the server is up again", server.ensure_running)


def test_kills_lose_nothing_and_double_nothing(
    broker: Broker, server: EmbeddedPostgres, tmp_path: Path, started: Callable[[Program], Program]
) -> None:
    """Two consumers; each of consumer, broker and database is killed while messages are sent and taken."""
    url = server.start()
    broker.make_topic("killed", partitions=4)
    variables = {"CALLFARE_KAFKA_BROKER": broker.address, "CALLFARE_KAFKA_TOPIC": "killed", **QUICK}
    consumers = [Consumer(tmp_path / str(number), url, **variables) for number in range(2)]
    for consumer in consumers:
        started(consumer)
    sender = Sender(broker.producer(), "killed", seed=7)
    stopping = threading.Event()

    def send_all_the_time() -> None:
        while not stopping.wait(0.05):
            sender.send(1, waits=False)

    sending = threading.Thread(target=send_all_the_time)
    sending.start()
    try:
        for kill in (lambda: restart(consumers[0]), lambda: restart_broker(broker), lambda: kill_database(server)):
            await_progress(url)
            kill()
        await_progress(url)
    finally:
        stopping.set()
        sending.join()
    sender.flush()
    wait_for_records(url, sender.span_count)
    assert problems([sender.ledger], url) == []
    assert sender.ledger.batch_count > 20


def restart(consumer: Consumer) -> None:
    consumer.kill()
    consumer.start()


def restart_broker(broker: Broker) -> None:
    broker.kill()
    broker.start()


def await_progress(database_url: str) -> None:
    """Return when more is stored than now: a kill while nothing happens shows nothing."""
    known = record_count(database_url)
    wait_for_records(database_url, known + random.Random(known).randrange(40, 200))


def test_death_between_commit_and_offset(
    broker: Broker, database_url: str, tmp_path: Path, started: Callable[[Program], Program]
) -> None:
    """What the dead consumer stored comes again, and is recognised."""
    broker.make_topic("dying", partitions=2)
    sender = Sender(broker.producer(), "dying", seed=8)
    sender.send(12)
    variables = {
        "CALLFARE_KAFKA_BROKER": broker.address,
        "CALLFARE_KAFKA_TOPIC": "dying",
        "CALLFARE_KAFKA_GROUP": "dying",
    }
    script = str(Path(__file__).with_name("consume_and_die.py"))
    dying = Consumer(tmp_path / "dying", database_url, program=(script,), **variables)
    started(dying)
    assert dying.process is not None
    assert dying.process.wait() == -signal.SIGKILL
    stored = record_count(database_url)
    assert stored > 0
    living = Consumer(tmp_path / "living", database_url, **variables)
    started(living)
    wait_for_records(database_url, sender.span_count)
    wait_until("all is taken", lambda: living.metric("callfare_kafka_messages_total") == 12)
    assert problems([sender.ledger], database_url) == []
    assert (living.metric('callfare_spans_total{result="duplicate"}') or 0) >= stored


def test_a_database_that_is_away_pauses_and_loses_nothing(
    broker: Broker, database_url: str, tmp_path: Path, started: Callable[[Program], Program]
) -> None:
    """Connections are refused for a while: nothing becomes a dead letter, and later all is stored."""
    broker.make_topic("away", partitions=2)
    variables = {
        "CALLFARE_KAFKA_BROKER": broker.address,
        "CALLFARE_KAFKA_TOPIC": "away",
        "CALLFARE_KAFKA_GROUP": "away",
    }
    sender = Sender(broker.producer(), "away", seed=9)
    consumer = Consumer(tmp_path / "consumer", database_url, **variables)
    started(consumer)
    sender.send(2)
    wait_for_records(database_url, sender.span_count)
    name = conninfo_to_dict(database_url)["dbname"]
    server_url = psycopg.conninfo.make_conninfo(database_url, dbname="postgres")
    with psycopg.connect(server_url, autocommit=True) as connection:
        forbid = sql.SQL("alter database {} allow_connections {}")
        connection.execute(forbid.format(sql.Identifier(str(name)), sql.SQL("false")))
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        sender.send(10)
        wait_until("it says so", lambda: "the database cannot take spans now" in consumer.log.read_text())
        wait_until("it shows the lag", lambda: (consumer.metric("callfare_kafka_lag") or 0) >= 10)
        connection.execute(forbid.format(sql.Identifier(str(name)), sql.SQL("true")))
    wait_for_records(database_url, sender.span_count)
    wait_until("no lag", lambda: consumer.metric("callfare_kafka_lag") == 0)
    assert problems([sender.ledger], database_url) == []
    assert consumer.metric("callfare_kafka_dead_messages_total") == 0
