"""Application → the real Collector with the shipped producing layer → Kafka → `callfare consume`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.traffic import ClientLedger, batches
from tests.crash.verdict import problems
from tests.end_to_end.binaries import collector_binary, needs_go
from tests.end_to_end.otlp_sink import OtlpSink
from tests.end_to_end.running import Collector, Program
from tests.kafka.conftest import RunConsumer
from tests.kafka.running import wait_for_records
from tests.support.kafka import Broker
from tests.support.stored import Address, send
from tests.support.waiting import wait_until

__all__ = ["collector_binary"]

pytestmark = [*needs_go, pytest.mark.java]
IN_THE_CLEAR = {"exporters": {"kafka/cost": {"tls": {"insecure": True}}}}


@pytest.fixture
def collector(
    broker: Broker, collector_binary: Path, tmp_path: Path, started: Callable[[Program], Program]
) -> Iterator[Collector]:
    """The producing Collector; what it shows to Jaeger goes nowhere."""
    broker.make_topic("from-collector", partitions=1)
    with OtlpSink() as view:
        collector = Collector(
            collector_binary,
            tmp_path / "collector",
            ["base", "dev", "kafka-producer"],
            cost=view.port,
            view=view.port,
            overrides=IN_THE_CLEAR,
            variables={"CALLFARE_KAFKA_BROKER": broker.address, "CALLFARE_KAFKA_TOPIC": "from-collector"},
        )
        started(collector)
        yield collector


def test_a_poison_message_between_the_collectors_stops_nothing(
    broker: Broker, collector: Collector, database_url: str, run_consumer: RunConsumer
) -> None:
    """Every span that the Collector took is stored once, and the message that is none of its is a dead letter."""
    consumer = run_consumer(database_url, "from-collector", CALLFARE_KAFKA_GROUP="from-collector")
    ledger, made = ClientLedger(), batches(31, 1_795_000_000 * 10**9)

    def send_one() -> None:
        batch = next(made)
        send(Address(host="127.0.0.1", port=collector.grpc), batch.payload)
        ledger.add(batch)

    for _ in range(3):
        send_one()
    wait_for_records(database_url, len(ledger.acknowledged))
    poison = broker.producer()
    poison.produce("from-collector", b"this is no span")
    poison.flush()
    send_one()
    wait_for_records(database_url, len(ledger.acknowledged))
    assert problems([ledger], database_url) == []
    wait_until("the letter", lambda: consumer.metric("callfare_kafka_dead_messages_total") == 1)
