"""Messages into a real ledger: what is good is stored once, what is bad is one dead letter, whatever lies beside it."""

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cost_exporter.assembly import IngestOptions, price_by
from cost_exporter.domain.facts import DeadLetter, Receipt
from cost_exporter.errors import Overloaded, StoreFault, StoreUnavailable
from cost_exporter.prices import load_book
from cost_exporter.receive.decoding.decode import SenderIdentity
from cost_exporter.receive.intake import LocalIntake
from cost_exporter.receive.kafka.taking import Message, Taken, Taker
from cost_exporter.receive.observed import Unobserved
from cost_exporter.receive.stuck import StuckBatches
from tests.support.stored import chat

_numbers = count(1)
ACME = SenderIdentity(namespace="acme", tenant_is_trusted=False)
BETA = SenderIdentity(namespace="beta", tenant_is_trusted=False)

BOOK = load_book()

JUNK = {
    "text": b"hello, world",
    "json": b'{"resourceSpans": []}',
    "one byte": b"\x00",
    "a length that reaches into the next message": b"\x0a\x7f\x01",
    "an open group": b"\x0b",
    "another protobuf": b"\x12\x03abc",
    "resource spans that hold nothing of the kind": b"\x0a\x04\xff\xff\xff\xff",
    "resource spans that break off": b"\x0a\x03\x12\x7f\x01",
    "a number": b"\x08\x96\x01",
}


def request(span_count: int = 1) -> bytes:
    """A request whose spans are in no other."""
    made = ExportTraceServiceRequest()
    scope = made.resource_spans.add().scope_spans.add()
    trace_id = next(_numbers).to_bytes(16, "big")
    for _ in range(span_count):
        at = 1_795_000_000 * 10**9
        span = scope.spans.add(trace_id=trace_id, span_id=next(_numbers).to_bytes(8, "big"), name="chat")
        span.start_time_unix_nano, span.end_time_unix_nano = at, at + 10**9
        for key, content in chat("gpt-4o-mini", 100, 10).items():
            attribute = span.attributes.add(key=key)
            if isinstance(content, int):
                attribute.value.int_value = content
            else:
                attribute.value.string_value = content
    return made.SerializeToString()


def message(body: bytes, *, sender: SenderIdentity = ACME, problem: str = "") -> Message:
    offset = next(_numbers)
    return Message(topic="spans", partition=offset % 3, offset=offset, body=body, sender=sender, problem=problem)


@pytest.fixture
def intake(database_url: str) -> Iterator[LocalIntake]:
    options = IngestOptions(database_url=database_url)
    with closing(LocalIntake(options, price_by(lambda: BOOK), Unobserved(), stuck=StuckBatches(0))) as opened:
        yield opened


@pytest.fixture
def taker(intake: LocalIntake) -> Iterator[Taker]:
    with closing(Taker(intake)) as opened:
        yield opened


def records(database_url: str) -> dict[str, int]:
    with psycopg.connect(database_url) as connection:
        sums = "select namespace, count(*) from callfare.record where status <> 'duplicate' group by namespace"
        return dict(connection.execute(sums).fetchall())


def letters(database_url: str) -> list[tuple[str, str, str]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute("select namespace, reason, detail from callfare.dead_letter").fetchall()


def test_messages_polled_together_are_one_transaction(database_url: str, taker: Taker) -> None:
    """A hundred messages of one namespace are one commit. What two namespaces sent is stored under each."""
    before = transactions(database_url)
    taken = taker.take([message(request(2)) for _ in range(100)])
    assert (taken.left, taken.dead_letters, taken.is_store_away) == ([], [], False)
    assert records(database_url) == {"acme": 200}
    assert transactions(database_url) - before == 1
    taker.take([message(request()), message(request(), sender=BETA)])
    assert records(database_url) == {"acme": 201, "beta": 1}


def transactions(database_url: str) -> int:
    """How many transactions wrote records."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select count(distinct xmin::text) from callfare.record").fetchone()
    assert row is not None
    return int(row[0])


def test_a_bad_message_is_one_letter_and_costs_no_neighbour(database_url: str, taker: Taker) -> None:
    """The letter names topic, partition and offset; the messages before and after it are stored."""
    for number, (kind, junk) in enumerate(JUNK.items(), 1):
        bad = message(junk)
        taken = taker.take([message(request()), bad, message(request()), message(request())])
        assert [each.offset for each in taken.dead_letters] == [bad.offset], kind
        assert taken.left == []
        assert records(database_url) == {"acme": 3 * number}, kind
        place = f"topic spans, partition {bad.partition}, offset {bad.offset}: "
        assert [each[:2] for each in letters(database_url) if each[2].startswith(place)] == [("acme", "kafka_message")]
    assert len(letters(database_url)) == len(JUNK)


def test_the_same_bad_message_is_one_letter_however_often_it_comes(database_url: str, taker: Taker) -> None:
    """Kafka brings it again after a crash; two equal messages at two places are two letters."""
    bad = message(JUNK["text"])
    taker.take([bad])
    taker.take([message(request()), bad])
    assert len(letters(database_url)) == 1
    taker.take([message(bad.body)])
    assert len(letters(database_url)) == 2


def test_a_message_without_content_holds_nothing(database_url: str, taker: Taker) -> None:
    """A tombstone, or a request without spans, is no error."""
    taken = taker.take([message(b""), message(request()), message(ExportTraceServiceRequest().SerializeToString())])
    assert (taken.left, taken.dead_letters) == ([], [])
    assert (records(database_url), letters(database_url)) == ({"acme": 1}, [])


def test_a_message_that_names_nobody_is_not_stored(database_url: str, taker: Taker) -> None:
    """Its sender is not known, so its spans are nobody's; the letter says what is missing."""
    taker.take([message(request(), problem="no header says whose it is"), message(request(), sender=BETA)])
    assert records(database_url) == {"beta": 1}
    ((namespace, _, detail),) = letters(database_url)
    assert namespace == "acme"
    assert detail.endswith(": no header says whose it is")


def test_a_message_too_large_to_join_is_tried_alone(database_url: str, taker: Taker) -> None:
    """More spans than a request may hold, in sum: halves are taken. One that is too large by itself is a letter."""
    too_many = ExportTraceServiceRequest()
    scope = too_many.resource_spans.add().scope_spans.add()
    for _ in range(50_001):
        scope.spans.add()
    bad = message(too_many.SerializeToString())
    taken = taker.take([message(request()), bad, message(request())])
    assert [each.offset for each in taken.dead_letters] == [bad.offset]
    assert records(database_url) == {"acme": 2}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.sampled_from(["good", *JUNK]), min_size=1, max_size=20), namespaces=st.data())
def test_any_mix_keeps_every_good_span(
    database_url: str, taker: Taker, kinds: list[str], namespaces: st.DataObject
) -> None:
    """Whatever lies beside what, in whichever namespace."""
    before, before_letters = records(database_url), len(letters(database_url))
    messages = [
        message(request() if kind == "good" else JUNK[kind], sender=namespaces.draw(st.sampled_from([ACME, BETA])))
        for kind in kinds
    ]
    taken = taker.take(messages)
    good = {name: before.get(name, 0) for name in ("acme", "beta")}
    for kind, each in zip(kinds, messages, strict=True):
        good[each.sender.namespace] += kind == "good"
    assert {name: found for name, found in good.items() if found} == records(database_url)
    assert (
        len(letters(database_url)) - before_letters == len(taken.dead_letters) == sum(kind != "good" for kind in kinds)
    )
    assert taken.left == []


class Failing:
    """An intake in front of the real one that fails on some messages, as a fault of ours does."""

    def __init__(self, behind: LocalIntake, fails: Any) -> None:
        self.behind = behind
        self.fails = fails
        self.joined_count = 0

    def take_joined(self, body: bytes, sender: SenderIdentity) -> Receipt:
        self.joined_count += 1
        self.fails(body, is_alone=False)
        return self.behind.take_joined(body, sender)

    def take_alone(self, body: bytes, sender: SenderIdentity) -> Receipt:
        self.fails(body, is_alone=True)
        return self.behind.take_alone(body, sender)

    def store_dead_letter(self, letter: DeadLetter, sender: SenderIdentity) -> Receipt:
        return self.behind.store_dead_letter(letter, sender)


def taken_by(intake: Any, messages: list[Message]) -> Taken:
    with closing(Taker(intake)) as taker:
        return taker.take(messages)


@pytest.mark.parametrize("fault", [StoreFault("odd"), KeyError("ours")])
def test_a_fault_of_ours_holds_up_its_own_message_only(
    database_url: str, intake: LocalIntake, fault: Exception
) -> None:
    """The others are stored; the one is left, to be tried again."""
    messages = [message(request()) for _ in range(9)]
    poison = messages[4].body

    def fails(body: bytes, *, is_alone: bool) -> None:
        if poison in body:
            if is_alone:
                raise Overloaded("something went wrong on our side") from fault
            raise fault

    taken = taken_by(Failing(intake, fails), messages)
    assert taken.left == [messages[4]]
    assert not taken.is_store_away
    assert records(database_url) == {"acme": 8}


def test_a_store_that_is_away_leaves_everything_and_tries_nothing_twice(intake: LocalIntake) -> None:
    """No bisecting: it would ask a dead database once a message."""

    def fails(body: bytes, *, is_alone: bool) -> None:
        raise StoreUnavailable("away")

    messages = [message(request()) for _ in range(9)] + [message(JUNK["text"])]
    failing = Failing(intake, fails)
    taken = taken_by(failing, messages)
    assert taken.is_store_away
    assert sorted(each.offset for each in taken.left) == [each.offset for each in messages]
    assert failing.joined_count <= 1


def test_what_never_could_be_stored_alone_becomes_letters_of_its_spans(
    database_url: str, taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time (none here) the gate divides the message itself; nothing is left to wait."""
    from cost_exporter import pipeline

    poisoned = message(request())
    real = pipeline.read_request

    def reads(resource_spans: Any, **options: Any) -> Any:
        spans = [span for each in resource_spans for scope in each.scope_spans for span in scope.spans]
        if any(span.trace_id in poisoned.body for span in spans):
            raise KeyError("ours")
        return real(resource_spans, **options)

    monkeypatch.setattr(pipeline, "read_request", reads)
    taken = taker.take([message(request()), poisoned, message(request())])
    assert taken.left == []
    assert records(database_url) == {"acme": 2}
    assert [reason for _, reason, _ in letters(database_url)] == ["our_fault"]
