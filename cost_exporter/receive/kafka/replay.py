"""`--from`: set the group back to an earlier point, so that messages that are still in Kafka are read again.

The ledger recognises what it has, so reading again changes nothing, and brings what was missing. That holds for as long
as the ledger remembers: not for messages of months whose records were dropped.
"""

from datetime import datetime
from typing import Final

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from cost_exporter.errors import CallfareError, SettingsError
from cost_exporter.receive.kafka.connection import BrokerOptions

__all__ = ["require_remembered", "set_back"]

_ASK_SECONDS_MAX: Final = 30.0


def require_remembered(start: datetime | None, remembered_since: datetime | None) -> None:
    """Raise `SettingsError` where messages from `start` on (None: the first) may be of a time that was dropped."""
    if remembered_since is None or (start is not None and start >= remembered_since):
        return
    raise SettingsError(
        f"--from: records before {remembered_since:%Y-%m-%d} were dropped, so their spans would not be recognised; "
        f"write --from {remembered_since:%Y-%m-%d} or later"
    )


def set_back(brokers: BrokerOptions, group: str, topics: list[str], start: datetime | None) -> None:
    """Set the group to the first message at or after `start` in each partition; None: to the first of all.

    Raises `CallfareError` where Kafka does not answer, a topic is missing, or the group has members.
    """
    client = Consumer({**brokers, "group.id": group, "enable.auto.commit": False})
    try:
        offsets = [found for topic in topics for found in _offsets(client, topic, start)]
        admin = AdminClient(dict(brokers))  # must live until it has answered
        done = admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, offsets)], request_timeout=_ASK_SECONDS_MAX
        )
        refused = next((each.error for each in done[group].result().topic_partitions or () if each.error), None)
    except KafkaException as error:
        refused = error.args[0]
    finally:
        client.close()
    if refused is not None:
        raise CallfareError(
            f"--from: group {group} could not be set back ({refused.str()}); stop its other consumers first "
            "(one that was killed counts as running for 15 seconds)"
        )


def _offsets(client: Consumer, topic: str, start: datetime | None) -> list[TopicPartition]:
    found = client.list_topics(topic, timeout=_ASK_SECONDS_MAX).topics[topic]
    if found.error is not None:
        raise CallfareError(f"--from: topic {topic}: {found.error.str()}; name a topic that exists")
    wanted = [TopicPartition(topic, partition) for partition in sorted(found.partitions)]
    ends = {each.partition: client.get_watermark_offsets(each, timeout=_ASK_SECONDS_MAX) for each in wanted}
    if start is None:
        return [TopicPartition(topic, partition, first) for partition, (first, _) in ends.items()]
    at_ms = int(start.timestamp() * 1_000)
    asked = [TopicPartition(topic, each.partition, at_ms) for each in wanted]
    after = client.offsets_for_times(asked, timeout=_ASK_SECONDS_MAX)
    # -1: nothing is as late as that.
    return [
        TopicPartition(topic, each.partition, each.offset if each.offset >= 0 else ends[each.partition][1])
        for each in after
    ]
