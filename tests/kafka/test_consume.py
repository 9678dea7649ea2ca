"""`callfare consume` against a real broker: everything once, bad messages set aside, members that come and go."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from cost_exporter.store.tokens import TokenScope, create
from tests.crash.verdict import problems
from tests.examples.documents import blocks, check_output
from tests.examples.shell import Shell
from tests.kafka.conftest import RunConsumer
from tests.kafka.running import Sender, record_count, url_of, wait_for_records
from tests.support.kafka import Broker
from tests.support.ports import free_ports
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.java]
JUNK = b"this is no span"


def test_what_is_sent_is_stored_once_and_a_second_consumer_shares_it(
    broker: Broker, database_url: str, run_consumer: RunConsumer
) -> None:
    """Counts and sums are exact, the lag ends at 0, and a member that comes and one that goes cost nothing."""
    broker.make_topic("shared", partitions=6)
    sender = Sender(broker.producer(), "shared")
    sender.send(20)
    first = run_consumer(database_url, "shared", CALLFARE_KAFKA_GROUP="shared")
    wait_for_records(database_url, sender.span_count)
    second = run_consumer(database_url, "shared", CALLFARE_KAFKA_GROUP="shared")

    def second_takes_some() -> bool:
        sender.send(6)
        return bool(second.metric("callfare_kafka_messages_total"))

    wait_until("the second consumer has partitions", second_takes_some)
    assert first.stop() == 0
    sender.send(10)
    wait_for_records(database_url, sender.span_count)
    assert problems([sender.ledger], database_url) == []
    wait_until("no lag", lambda: second.metric("callfare_kafka_lag") == 0)
    assert second.stop() == 0
    with psycopg.connect(database_url) as connection:  # each poll is one commit, not each message
        commits = connection.execute("select count(distinct xmin::text) from callfare.record").fetchone()
    assert commits is not None
    assert commits[0] < sender.ledger.batch_count


def test_a_bad_message_stops_nothing(broker: Broker, database_url: str, run_consumer: RunConsumer) -> None:
    """On one partition, between good ones: it is a dead letter with its place, and what follows is stored."""
    broker.make_topic("poison", partitions=1)
    producer = broker.producer()
    sender = Sender(producer, "poison")
    sender.send(3)
    producer.produce("poison", JUNK)
    producer.produce("poison", None)
    sender.send(3)
    consumer = run_consumer(database_url, "poison", CALLFARE_KAFKA_GROUP="poison")
    wait_for_records(database_url, sender.span_count)
    assert problems([sender.ledger], database_url) == []
    with psycopg.connect(database_url) as connection:
        letters = connection.execute("select reason, detail from callfare.dead_letter").fetchall()
    assert [(reason, detail.split(": ")[0]) for reason, detail in letters] == [
        ("kafka_message", "topic poison, partition 0, offset 3")
    ]
    wait_until("no lag", lambda: consumer.metric("callfare_kafka_lag") == 0)
    assert consumer.metric("callfare_kafka_dead_messages_total") == 1


def test_a_topic_of_a_tenant_and_one_whose_header_is_trusted(
    broker: Broker, database_url: str, run_consumer: RunConsumer, tmp_path: Path
) -> None:
    """Whatever the spans claim. A topic of nobody is refused where tokens exist."""
    config = tmp_path / "callfare.yaml"
    config.write_text(
        "kafka_topics:\n  - {topic: of-acme, namespace: acme}\n  - {topic: relayed, trust_header: true}\n"
    )
    producer = broker.producer()
    for name in ("of-acme", "relayed"):
        broker.make_topic(name, partitions=2)
    with psycopg.connect(database_url, autocommit=True) as connection:
        create(connection, ["acme"], [TokenScope.INGEST])
    payload = next(Sender(producer, "of-acme", seed=5)._batches)
    header = ("x-callfare-tenant", b"globex")
    producer.produce("of-acme", payload.payload, headers=[header])
    producer.produce("relayed", payload.payload, headers=[header])
    producer.produce("relayed", payload.payload)
    producer.flush()
    consumer = run_consumer(
        database_url, "", CALLFARE_KAFKA_TOPIC="", CALLFARE_CONFIG=str(config), CALLFARE_KAFKA_GROUP="tenants"
    )
    wait_for_records(database_url, 2 * len(payload.spans))
    wait_until("no lag", lambda: consumer.metric("callfare_kafka_lag") == 0)
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "select namespace, tenant_id, count(*) from callfare.record group by 1, 2"
        ).fetchall()
        letters = connection.execute("select detail from callfare.dead_letter").fetchall()
    assert sorted(found) == [("acme", "acme", len(payload.spans)), ("globex", "globex", len(payload.spans))]
    assert [detail.partition(": ")[2] for (detail,) in letters] == ["no header x-callfare-tenant says whose it is"]
    with pytest.raises(AssertionError, match="topic of-nobody has no tenant"):
        run_consumer(database_url, "of-nobody")


def test_the_how_to(broker: Broker, database_url: str, tmp_path: Path) -> None:
    """docs/how-to/kafka.md: the consumer starts as it says, and the commands show what it says."""
    page = blocks("kafka")
    (tmp_path / "callfare.yaml").write_text(page["file topics"])
    (web,) = free_ports(1)
    moved = {
        "127.0.0.1:9092": broker.address,
        "127.0.0.1:4320": f"127.0.0.1:{web}",
        "callfare.yaml": str(tmp_path / "callfare.yaml"),
    }
    variables = {"CALLFARE_DATABASE_URL": url_of(database_url), "CALLFARE_KAFKA_WEB_ADDR": f"127.0.0.1:{web}"}
    for name in ("spans-acme", "spans-relayed"):
        broker.make_topic(name, partitions=1)
    sender = Sender(broker.producer(), "spans-acme", seed=11)
    sender.send(1)
    terminal = Shell(tmp_path, variables, moved)
    with terminal.background(page["service"], until=r"(?m)^database postgresql://.*\n"):
        wait_for_records(database_url, sender.span_count)
        check_output("kafka", terminal.run(page["verify"]))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select distinct tenant_id from callfare.record").fetchall() == [("acme",)]


def test_reading_again_from_an_earlier_day_changes_nothing(
    broker: Broker, database_url: str, run_consumer: RunConsumer
) -> None:
    """What is there is recognised. Not while others consume, and not of months whose records were dropped."""
    broker.make_topic("again", partitions=3)
    sender = Sender(broker.producer(), "again")
    sender.send(9)
    group = {"CALLFARE_KAFKA_GROUP": "again"}
    first = run_consumer(database_url, "again", **group)
    wait_for_records(database_url, sender.span_count)
    with pytest.raises(AssertionError, match="group again could not be set back"):
        run_consumer(database_url, "again", "--from", "beginning", **group)
    assert first.stop() == 0
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    again = run_consumer(database_url, "again", "--from", yesterday, **group)
    wait_until("all again", lambda: again.metric("callfare_kafka_messages_total") == 9)
    assert again.stop() == 0
    assert problems([sender.ledger], database_url) == []
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    ahead = run_consumer(database_url, "again", "--from", tomorrow, **group)
    sender.send(1)
    wait_for_records(database_url, sender.span_count)
    assert ahead.metric("callfare_kafka_messages_total") == 1
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("insert into callfare.bucket (bucket, purged_at) values ('2026-01-01', now())")
    with pytest.raises(AssertionError, match="write --from 2026-02-01 or later"):
        run_consumer(database_url, "again", "--from", "beginning", **group)


def test_messages_that_kafka_deleted_before_they_were_read_are_counted(
    broker: Broker, database_url: str, run_consumer: RunConsumer
) -> None:
    """Nobody can bring them back, and nobody should have to guess."""
    broker.make_topic("short", partitions=1)
    sender = Sender(broker.producer(), "short")
    group = {"CALLFARE_KAFKA_GROUP": "short"}
    sender.send(2)
    first = run_consumer(database_url, "short", **group)
    wait_for_records(database_url, sender.span_count)
    wait_until("no lag", lambda: first.metric("callfare_kafka_lag") == 0)
    assert first.stop() == 0
    known = record_count(database_url)
    sender.send(5)
    broker.delete_records("short", before=6)
    second = run_consumer(database_url, "short", **group)
    wait_until("the last message", lambda: record_count(database_url) > known)
    wait_until("the loss", lambda: second.metric("callfare_kafka_lost_messages_total") == 4)
    assert "4 messages from offset 2 on were deleted" in second.log.read_text()
