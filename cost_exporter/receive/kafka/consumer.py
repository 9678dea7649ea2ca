"""The loop of `callfare consume`: poll, store, and give offsets back after COMMIT.

What cannot be stored now is held in memory, its partitions are paused, and the poll goes on: so the group keeps this
member, and takes partitions from it in an orderly way. A partition in which one message fails through a fault of ours
waits alone; while the database is away all of them wait.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as PolledMessage

from cost_exporter.errors import CallfareError, PermissionDenied, StoreUnavailable
from cost_exporter.receive.kafka.connection import BrokerOptions
from cost_exporter.receive.kafka.seldom import QUIET_SECONDS, Seldom
from cost_exporter.receive.kafka.taking import Message, Taker
from cost_exporter.receive.kafka.topics import Topics

__all__ = ["KafkaObserver", "SpanConsumer"]

_LOG = logging.getLogger(__name__)
_LOG_OF_LIBRARY = logging.getLogger("cost_exporter.kafka")
_LOG_OF_LIBRARY.addFilter(Seldom())
_MESSAGES_MAX: Final = 1_000
_POLL_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = (0.5, 10.0)
"""The first wait before what failed is tried again, and the longest."""
_ASK_SECONDS_MAX: Final = 2.0
_LAG_EVERY_SECONDS: Final = 5.0
_SILENT_SECONDS_MAX: Final = 120.0

_MINUTE_MS: Final = 60_000
Place = tuple[str, int]
"""Topic and partition."""


class StopFlag(Protocol):
    """Set once the program was asked to end."""

    def is_set(self) -> bool:
        """Return whether it was."""
        ...


class KafkaObserver(Protocol):
    """The metrics of a consumer. Must neither raise nor block."""

    def took(self, message_count: int) -> None:
        """Count messages that are stored."""
        ...

    def dead_lettered(self, message_count: int) -> None:
        """Count messages that became dead letters."""
        ...

    def lost(self, message_count: int) -> None:
        """Count messages that Kafka deleted before they were read."""
        ...

    def lagging(self, lags: dict[Place, int]) -> None:
        """Show how many messages wait in each partition of this consumer; none is shown where that is not known."""
        ...


class SpanConsumer:
    """One member of the group. Used by one thread."""

    def __init__(
        self,
        brokers: BrokerOptions,
        group: str,
        topics: Topics,
        taker: Taker,
        observer: KafkaObserver,
        *,
        monotonic_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics = topics
        self._taker = taker
        self._observer = observer
        self._monotonic_seconds = monotonic_seconds
        self._client = Consumer(self._options(brokers, group), logger=_LOG_OF_LIBRARY)
        self._held: list[Message] = []
        self._is_store_away = False
        self._failure_count = 0
        self._retry_at_seconds = 0.0
        self._paused: set[Place] = set()
        self._polled_to: dict[Place, int] = {}
        """The offset that is expected next in each partition."""
        self._stored_to: dict[Place, int] = {}
        """Up to where each partition is stored, but for what is held."""
        self._given_back: dict[Place, int] = {}
        self._lag_at_seconds = monotonic_seconds()
        self._stepped_at_seconds = monotonic_seconds()
        self._complained_at_seconds: float | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the loop moves on. Any thread may ask."""
        return self._monotonic_seconds() - self._stepped_at_seconds < _SILENT_SECONDS_MAX

    def run(self, stopping: StopFlag) -> None:
        """Consume until `stopping` is set. Raises `SettingsError` where nobody may say whose spans a topic holds."""
        self._client.subscribe(
            self._topics.names, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        try:
            while not stopping.is_set():
                self._step()
        finally:
            self._client.close()
            self._taker.close()

    def _options(self, brokers: BrokerOptions, group: str) -> dict[str, Any]:
        return {
            **brokers,
            "group.id": group,
            "client.id": "callfare",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 15_000,  # after that a dead member's partitions go to others
            "heartbeat.interval.ms": 3_000,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "max.poll.interval.ms": 5 * _MINUTE_MS,  # a commit that hangs ends after half a minute
            "error_cb": self._complain,
            "on_commit": self._offsets_given_back,
        }

    # ------------------------------------------------------------------------------------------------ one turn

    def _step(self) -> None:
        now_seconds = self._monotonic_seconds()
        self._stepped_at_seconds = now_seconds
        if now_seconds >= self._lag_at_seconds:
            self._lag_at_seconds = now_seconds + _LAG_EVERY_SECONDS
            self._observer.lagging(self._lags())
        is_due = bool(self._held) and now_seconds >= self._retry_at_seconds
        fresh = self._polled(0.0 if is_due else _POLL_SECONDS)
        if self._is_store_away and not is_due:
            self._held += fresh  # polled before its partition was paused
            self._pause()
            return
        due, self._held = (self._held, []) if is_due else ([], self._held)
        if due or fresh:
            self._take(due, fresh)

    def _polled(self, wait_seconds: float) -> list[Message]:
        return [
            self._message(polled)
            for polled in self._client.consume(_MESSAGES_MAX, timeout=wait_seconds)
            if not self._is_error(polled)
        ]

    def _take(self, due: list[Message], fresh: list[Message]) -> None:
        messages = due + fresh
        try:
            self._topics.require_owners()
        except StoreUnavailable:
            left, dead_letter_count, self._is_store_away = messages, 0, True
        else:
            taken = self._taker.take(messages)
            left, dead_letter_count, self._is_store_away = taken.left, len(taken.dead_letters), taken.is_store_away
            for message in taken.dead_letters:
                _LOG.error("dead letter: %s", message.place)
        self._held += left
        self._wait_longer() if left else self._wait_no_longer()
        self._pause()
        self._observer.took(len(messages) - len(left))
        self._observer.dead_lettered(dead_letter_count)
        self._give_back(messages)

    def _wait_longer(self) -> None:
        shortest, longest = _RETRY_SECONDS
        self._retry_at_seconds = self._monotonic_seconds() + min(longest, shortest * 2**self._failure_count)
        self._failure_count = min(self._failure_count + 1, 10)
        if self._is_store_away:
            self._complain_of("the database cannot take spans now: partitions are paused, and nothing is lost")

    def _wait_no_longer(self) -> None:
        self._failure_count = 0

    def _pause(self) -> None:
        """Pause the partitions of what is held, or all, and let the others go on."""
        assigned = {_place(each) for each in self._client.assignment()}
        wanted = assigned if self._is_store_away else assigned & {_place_of(message) for message in self._held}
        if paused := wanted - self._paused:
            self._client.pause(_partitions(paused))
        if resumed := (self._paused - wanted) & assigned:
            self._client.resume(_partitions(resumed))
        self._paused = wanted

    def _give_back(self, messages: list[Message]) -> None:
        """Commit up to where everything is stored; in a partition of which something is held, only up to there."""
        for message in messages:
            place = _place_of(message)
            self._stored_to[place] = max(self._stored_to.get(place, 0), message.offset + 1)
        offsets = self._offsets_of({_place_of(message) for message in messages})
        changed = {place: offset for place, offset in offsets.items() if offset > self._given_back.get(place, 0)}
        if changed:
            self._given_back |= changed
            try:
                self._client.commit(
                    offsets=[TopicPartition(*place, offset) for place, offset in changed.items()], asynchronous=True
                )
            except KafkaException as error:  # its messages come again, and are recognised
                self._complain_of(f"offsets could not be given back: {error.args[0].str()}")

    def _offsets_of(self, places: set[Place]) -> dict[Place, int]:
        """Return up to where these partitions are stored."""
        offsets = {place: self._stored_to[place] for place in places if place in self._stored_to}
        for message in self._held:
            place = _place_of(message)
            if place in places:
                offsets[place] = min(offsets.get(place, message.offset), message.offset)
        return offsets

    def _lags(self) -> dict[Place, int]:
        """Return how many messages of each partition are not stored; none where Kafka does not answer."""
        places = {_place(each) for each in self._client.assignment()}
        stored_to = self._offsets_of(places)
        lags: dict[Place, int] = {}
        for place in places:
            try:
                first, end = self._client.get_watermark_offsets(TopicPartition(*place), timeout=_ASK_SECONDS_MAX)
            except KafkaException as error:
                self._complain_of(f"Kafka does not answer: {error.args[0].str()}")
                return {}
            lags[place] = max(0, end - max(first, stored_to.get(place, first)))
        return lags

    # ------------------------------------------------------------------------------------- what Kafka has to say

    def _message(self, polled: PolledMessage) -> Message:
        topic, partition, offset = str(polled.topic()), int(polled.partition() or 0), int(polled.offset() or 0)
        self._look_for_gap((topic, partition), offset)
        headers: Any = polled.headers() or ()
        sender, problem = self._topics.fallback(topic), ""
        try:
            sender = self._topics.sender(topic, headers)
        except PermissionDenied as error:
            problem = str(error)
        body: Any = polled.value() or b""
        return Message(topic=topic, partition=partition, offset=offset, body=body, sender=sender, problem=problem)

    def _look_for_gap(self, place: Place, offset: int) -> None:
        """Count what Kafka deleted before it was read. Gaps of compaction and transactions lie above the start."""
        expected = self._polled_to.get(place)
        self._polled_to[place] = offset + 1
        if expected is None or offset <= expected:
            return
        first, _ = self._client.get_watermark_offsets(TopicPartition(*place), cached=True)  # as the last fetch says
        if (lost := min(first, offset) - expected) > 0:
            self._observer.lost(lost)
            _LOG.error(
                "topic %s, partition %d: %d messages from offset %d on were deleted before they were read;"
                " keep messages for longer (retention.ms)",
                *place,
                lost,
                expected,
            )

    def _is_error(self, polled: PolledMessage) -> bool:
        error = polled.error()
        if error is not None:
            self._complain(error)
        return error is not None

    def _complain(self, error: KafkaError) -> None:
        if error.fatal():
            raise CallfareError(f"Kafka: {error.str()}; start `callfare consume` again")
        self._complain_of(f"Kafka: {error.str()}")

    def _complain_of(self, text: str) -> None:
        """Write a line, but not one for each attempt."""
        now_seconds = self._monotonic_seconds()
        if self._complained_at_seconds is None or now_seconds - self._complained_at_seconds >= QUIET_SECONDS:
            self._complained_at_seconds = now_seconds
            _LOG.warning("%s", text)

    def _offsets_given_back(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        if error is not None:
            for each in partitions:
                self._given_back.pop(_place(each), None)
            self._complain_of(f"offsets could not be given back: {error.str()}")

    def _assigned(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            known = client.committed(partitions, timeout=_ASK_SECONDS_MAX)
        except KafkaException:
            known = []
        for each in known:
            if each.offset >= 0:
                self._polled_to[_place(each)] = self._stored_to[_place(each)] = each.offset

    def _revoked(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Forget what another member has now. What of it was stored here is recognised there."""
        del client
        gone = {_place(each) for each in partitions}
        self._held = [message for message in self._held if _place_of(message) not in gone]
        self._paused -= gone
        for place in gone:
            for offsets in (self._polled_to, self._stored_to, self._given_back):
                offsets.pop(place, None)


def _place(partition: TopicPartition) -> Place:
    return partition.topic, partition.partition


def _place_of(message: Message) -> Place:
    return message.topic, message.partition


def _partitions(places: Iterable[Place]) -> list[TopicPartition]:
    return [TopicPartition(*place) for place in sorted(places)]
