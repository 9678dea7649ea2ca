"""Take messages: joined by namespace, in one commit where all is well; bisected where not.

OTLP messages laid end to end are one valid request, so what was polled together costs one transaction. Where a group
cannot be stored, its halves are tried, and the halves of what fails, down to single messages. A message that is refused
for good becomes a dead letter with its topic, partition and offset, and nothing behind it waits.

A message that could corrupt the framing of its neighbours when it is joined (its bytes end within a field, or it is no
request at all) is always taken alone.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Protocol

from cost_exporter.domain.facts import DeadLetter, Receipt
from cost_exporter.errors import Overloaded, ReceiveError, StoreFault, StoreUnavailable, Undecodable
from cost_exporter.read.otlp.wire_shape import LENGTH_DELIMITED, fields_of
from cost_exporter.receive.decoding.decode import SenderIdentity

__all__ = ["Message", "MessageIntake", "Taken", "Taker"]

_JOINED_BYTES_MAX: Final = 8 * 1024 * 1024
_THREADS: Final = 8
"""Namespaces that are read at a time; they share a commit."""
_RESOURCE_SPANS: Final = 1
REASON: Final = "kafka_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a topic."""

    topic: str
    partition: int
    offset: int
    body: bytes
    sender: SenderIdentity
    problem: str = ""
    """Why its sender is not known; then it is not stored, and `sender` is in whose name that is kept."""

    @property
    def place(self) -> str:
        """Where the message is."""
        return f"topic {self.topic}, partition {self.partition}, offset {self.offset}"


class MessageIntake(Protocol):
    """The interface of what stores: `LocalIntake`."""

    def take_joined(self, body: bytes, sender: SenderIdentity) -> Receipt:
        """Store a request as a whole or not at all. Raises any error, an unexpected one too."""
        ...

    def take_alone(self, body: bytes, sender: SenderIdentity) -> Receipt:
        """Store what can be saved of a request. Raises only `ReceiveError` and `StoreUnavailable`."""
        ...

    def store_dead_letter(self, letter: DeadLetter, sender: SenderIdentity) -> Receipt:
        """Keep a dead letter. Raises only `StoreUnavailable`."""
        ...


@dataclass(slots=True, kw_only=True)
class Taken:
    """What became of some messages: those that are not among `left` are stored for good."""

    left: list[Message] = field(default_factory=list[Message])
    is_store_away: bool = False
    """Whether nothing can be stored now; else a message is left for a fault of ours with it alone."""
    dead_letters: list[Message] = field(default_factory=list[Message])


class Taker:
    """Stores messages through an intake."""

    def __init__(self, intake: MessageIntake) -> None:
        self._intake = intake
        self._threads = ThreadPoolExecutor(_THREADS, "namespaces")

    def take(self, messages: Sequence[Message]) -> Taken:
        """Store messages and return after COMMIT."""
        by_sender: dict[SenderIdentity, list[Message]] = {}
        for message in messages:
            by_sender.setdefault(message.sender, []).append(message)
        parts = (
            [self._take_of(each) for each in by_sender.values()] if len(by_sender) == 1 else self._at_once(by_sender)
        )
        return Taken(
            left=list(chain.from_iterable(part.left for part in parts)),
            is_store_away=any(part.is_store_away for part in parts),
            dead_letters=list(chain.from_iterable(part.dead_letters for part in parts)),
        )

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)

    def _at_once(self, by_sender: dict[SenderIdentity, list[Message]]) -> list[Taken]:
        return list(self._threads.map(self._take_of, by_sender.values()))

    def _take_of(self, messages: list[Message]) -> Taken:
        """Take the messages of one sender."""
        taken = Taken()
        waiting = list(_groups(messages))[::-1]
        while waiting:
            group = waiting.pop()
            try:
                self._take_group(group, taken)
            except (StoreUnavailable, Overloaded) as error:
                if len(group) > 1 and isinstance(error, StoreFault):
                    waiting += _halves(group)
                    continue
                taken.left += group
                if _is_its_own(error):
                    continue
                taken.left += chain.from_iterable(reversed(waiting))
                taken.is_store_away = True
                return taken
            except Exception as error:
                if len(group) == 1:
                    if not isinstance(error, ReceiveError):
                        raise  # the intake promised otherwise
                    waiting.append([_refused(group[0], error)])
                else:
                    waiting += _halves(group)
        return taken

    def _take_group(self, group: list[Message], taken: Taken) -> None:
        first = group[0]
        if len(group) > 1:
            self._intake.take_joined(b"".join(message.body for message in group), first.sender)
        elif first.problem:
            self._intake.store_dead_letter(
                DeadLetter(reason=REASON, detail=f"{first.place}: {first.problem}"), first.sender
            )
            taken.dead_letters.append(first)
        else:
            receipt = self._intake.take_alone(first.body, first.sender)
            if first.body and not receipt.received and not _is_framed(first.body):
                raise Undecodable("not an ExportTraceServiceRequest: nothing in it looks like a span")


def _groups(messages: list[Message]) -> Iterator[list[Message]]:
    """Yield messages that may be joined together, and the others one by one."""
    group: list[Message] = []
    size_bytes = 0
    for message in messages:
        if message.problem or not _is_framed(message.body):
            yield [message]
            continue
        if group and size_bytes + len(message.body) > _JOINED_BYTES_MAX:
            yield group
            group, size_bytes = [], 0
        group.append(message)
        size_bytes += len(message.body)
    if group:
        yield group


def _is_framed(body: bytes) -> bool:
    """Return whether a message consists of whole `resource_spans` and nothing else."""
    try:
        return all(
            each.number == _RESOURCE_SPANS and each.wire_type == LENGTH_DELIMITED
            for each in fields_of(body, 0, len(body))
        )
    except Undecodable:
        return False


def _halves(group: list[Message]) -> list[list[Message]]:
    """Return what is tried next, the first half last: the list of what waits is taken from its end."""
    middle = len(group) // 2
    return [group[middle:], group[:middle]]


def _is_its_own(error: Exception) -> bool:
    """Whether an error of a single message says nothing of the others: a fault of ours that may lie in its content."""
    return isinstance(error, StoreFault) or (isinstance(error, Overloaded) and error.__cause__ is not None)


def _refused(message: Message, error: ReceiveError) -> Message:
    return Message(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        body=b"",
        sender=message.sender,
        problem=str(error),
    )
