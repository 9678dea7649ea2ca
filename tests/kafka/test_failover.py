"""Three brokers, of which the one that leads is killed while spans come: `make full`, because three need a gigabyte."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.verdict import problems
from tests.end_to_end.running import Program
from tests.kafka.running import Consumer, Sender, wait_for_records
from tests.support.kafka import Broker
from tests.support.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.java]


@pytest.mark.skipif(
    not os.environ.get("CALLFARE_KAFKA_BROKERS"), reason="three brokers: CALLFARE_KAFKA_BROKERS=3, as make full does"
)
def test_a_leader_that_dies_loses_nothing(
    kafka_jars: None, database_url: str, tmp_path: Path, started: Callable[[Program], Program]
) -> None:
    """Replication 3, two in sync, acks=all, as the how-to asks for: each broker is killed once, one at a time."""
    ports = [tuple(free_ports(2)) for _ in range(3)]
    voters = ",".join(f"{number}@127.0.0.1:{controller}" for number, (_, controller) in enumerate(ports, 1))
    replicated = {
        "controller.quorum.voters": voters,
        "offsets.topic.replication.factor": "3",
        "min.insync.replicas": "2",
    }
    brokers = [
        Broker(tmp_path / f"broker-{number}", ports=pair, properties={"node.id": str(number), **replicated})
        for number, pair in enumerate(ports, 1)
    ]
    try:
        for broker in brokers:
            broker.start(waits=False)
        for broker in brokers:
            broker.await_answer()
        brokers[0].make_topic("replicated", partitions=6, replicas=3)
        addresses = ",".join(broker.address for broker in brokers)
        sender = Sender(brokers[0].producer(addresses), "replicated", seed=41)
        variables = {"CALLFARE_KAFKA_BROKER": addresses, "CALLFARE_KAFKA_TOPIC": "replicated"}
        for number in range(2):
            started(Consumer(tmp_path / f"consumer-{number}", database_url, **variables))
        for broker in brokers:
            sender.send(20)
            broker.kill()
            sender.send(20)
            wait_for_records(database_url, sender.span_count)
            broker.start()
        sender.send(20)
        wait_for_records(database_url, sender.span_count)
        assert problems([sender.ledger], database_url) == []
    finally:
        for broker in brokers:
            broker.kill()
