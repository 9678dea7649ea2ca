"""A batch that is given up is tried in parts: only spans that fail alone become dead letters."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cost_exporter.errors import Overloaded, StoreFault, StoreUnavailable
from cost_exporter.pipeline import Pipeline
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.decoding.apart import joined, pieces_of
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity, decode
from cost_exporter.receive.gate import Gate
from cost_exporter.receive.stuck import StuckBatches
from cost_exporter.store.ledger.committer import Committer
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import price_by_sum
from tests.receive import bodies
from tests.receive.conftest import FakeStore

ACME = SenderIdentity(namespace="acme")
POISON = 17


def batch(count: int, encoding: Encoding = Encoding.PROTOBUF) -> bytes:
    """Return a request with two resources of two scopes each."""
    parts = [range(start, count, 4) for start in range(4)]
    bytes_ = b"".join(
        bodies.field(
            1,
            bodies.field(1, bodies.field(1, bodies.field(1, b"service.name") + bodies.field(2, bodies.field(1, b"s"))))
            + b"".join(
                bodies.field(2, bodies.field(1, bodies.field(1, b"scope")) + b"".join(map(framed, numbers)))
                for numbers in pair
            ),
        )
        for pair in (parts[:2], parts[2:])
    )
    if encoding is Encoding.PROTOBUF:
        return bytes_
    document = json_format.MessageToDict(ExportTraceServiceRequest.FromString(bytes_))
    return json.dumps(document).encode()


def framed(number: int) -> bytes:
    return bodies.field(2, bodies.span(number))


def fails_on(*numbers: int, error: Callable[[], Exception] = ZeroDivisionError) -> Callable[[DecodedRequest], None]:
    ids = {bodies.span_id(number) for number in numbers}

    def before(request: DecodedRequest) -> None:
        if any(span.span_id in ids for span in bodies.spans_of(request.resource_spans)):
            raise error()

    return before


def impatient(store: Any) -> Gate:
    return Gate(store, stuck=StuckBatches(0))


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_a_request_taken_apart_and_joined_is_the_same(encoding: Encoding, count: int) -> None:
    """Each span comes with its resource and scope, and every part is a request."""
    body = batch(count, encoding)
    pieces = pieces_of(body, encoding)
    assert [piece.span_id for piece in pieces] == [span.span_id for span in spans(body, encoding)]
    assert {piece.trace_id for piece in pieces} == {bodies.trace_id(0)}
    assert spans(joined(pieces, encoding), encoding) == spans(body, encoding)
    for piece, span in zip(pieces, spans(body, encoding), strict=True):
        (alone,) = decode(joined([piece], encoding), encoding, ACME, received_at_unix_ns=1).resource_spans
        assert alone.resource.attributes["service.name"].string_value == "s"
        assert (alone.scope_spans[0].scope.name, *alone.scope_spans[0].spans) == ("scope", span)


def spans(body: bytes, encoding: Encoding) -> list[Any]:
    return bodies.spans_of(decode(body, encoding, ACME, received_at_unix_ns=1).resource_spans)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"{", b'{"resourceSpans": 7}', b'{"resourceSpans": [7]}'])
@pytest.mark.parametrize("encoding", Encoding)
def test_what_cannot_be_taken_apart_has_no_pieces(body: bytes, encoding: Encoding) -> None:
    """And raises nothing: it is only asked of what the decoder has failed on."""
    assert pieces_of(body, encoding) == []


@pytest.mark.parametrize("encoding", Encoding)
def test_the_good_spans_of_a_given_up_batch_are_stored(encoding: Encoding) -> None:
    """One of 1,000 costs itself, and about twenty attempts, not a thousand."""
    store = FakeStore()
    store.before = fails_on(POISON)
    receipt = impatient(store).take(batch(1_000, encoding), encoding, ACME)
    assert (receipt.received, receipt.accepted, receipt.dead_letter) == (1_000, 999, 1)
    assert {*store.span_ids} == {bodies.span_id(n) for n in range(1_000) if n != POISON}
    (letter,) = store.dead_letters
    assert (letter.reason, letter.span_id) == ("our_fault", bodies.span_id(POISON))
    assert bodies.payload_span(letter).span_id == bodies.span_id(POISON)
    assert len(store.requests) <= 12


def test_a_bug_in_decoding_costs_the_span_it_trips_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known by its ids, and nothing else can be kept."""

    def trips(body: bytes, *arguments: Any, **options: Any) -> DecodedRequest:
        if bodies.span_id(3) in body:
            raise KeyError("a prompt")
        return decode(body, *arguments, **options)

    monkeypatch.setattr("cost_exporter.receive.gate.decode", trips)
    store = FakeStore()
    receipt = impatient(store).take(batch(8), Encoding.PROTOBUF, ACME)
    assert (receipt.accepted, receipt.dead_letter) == (7, 1)
    (letter,) = store.dead_letters
    assert (letter.trace_id, letter.span_id, letter.payload) == (bodies.trace_id(0), bodies.span_id(3), b"")
    assert "KeyError" in letter.detail
    assert "prompt" not in letter.detail


def test_a_database_that_goes_away_meanwhile_buries_nothing() -> None:
    """The sender keeps its batch; what was taken is known when it comes again."""
    store = FakeStore()
    gate = impatient(store)
    store.before = fails_on(0)
    is_away = [False]

    def before(request: DecodedRequest) -> None:
        fails_on(0)(request)
        is_away[0] = True
        fails_on(*range(1, 8), error=lambda: StoreUnavailable("away"))(request)

    store.before = before
    with pytest.raises(StoreUnavailable):
        gate.take(batch(8), Encoding.PROTOBUF, ACME)
    assert is_away[0]
    assert store.dead_letters == []
    store.before = fails_on(0)
    assert gate.take(batch(8), Encoding.PROTOBUF, ACME).dead_letter == 1


def test_a_fault_of_the_store_is_bounded_in_time_and_an_absence_is_not() -> None:
    """Who is told to try again for ever, by what never passes, would never send anything else."""
    store = FakeStore()
    store.before = fails_on(0, error=lambda: StoreFault("rows that do not fit together"))
    clock = [0.0]
    gate = Gate(store, stuck=StuckBatches(3_600, monotonic_seconds=lambda: clock[0]))
    for clock[0] in (0.0, 3_599.0):
        with pytest.raises(Overloaded):
            gate.take(batch(4), Encoding.PROTOBUF, ACME)
    clock[0] = 3_600.0
    receipt = gate.take(batch(4), Encoding.PROTOBUF, ACME)
    assert (receipt.accepted, receipt.dead_letter) == (3, 1)
    assert store.dead_letters[0].detail == "rows that do not fit together"


def test_a_batch_that_was_taken_after_all_has_its_whole_hour_again() -> None:
    """A fault long ago, which passed, says nothing of one today."""
    store = FakeStore()
    clock = [0.0]
    gate = Gate(store, stuck=StuckBatches(3_600, monotonic_seconds=lambda: clock[0]))
    for clock[0] in (0.0, 4_000.0):
        store.before = fails_on(0)
        with pytest.raises(Overloaded):
            gate.take(batch(4), Encoding.PROTOBUF, ACME)
        store.before = lambda _: None
        assert gate.take(batch(4), Encoding.PROTOBUF, ACME).accepted == 4


def test_a_row_that_does_not_fit_costs_its_own_span(database_url: str) -> None:
    """With the real ledger: a record without its trace, as an incomplete restore leaves it, keeps nobody else out."""
    committer = Committer(lambda: LedgerStore(database_url), price_by_sum, writers=1)
    pipeline = Pipeline(committer, lambda *_: None)
    try:
        one = bodies.body(bodies.span(0))
        impatient(pipeline).take(one, Encoding.PROTOBUF, ACME)
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute("delete from callfare.trace")
        other = bodies.span(1).replace(bodies.trace_id(0), bodies.trace_id(1))
        gate = Gate(pipeline, stuck=StuckBatches(3_600, monotonic_seconds=iter([0.0, 3_600.0]).__next__))
        with pytest.raises(Overloaded):
            gate.take(bodies.body(bodies.span(0), other), Encoding.PROTOBUF, ACME)
        receipt = gate.take(bodies.body(bodies.span(0), other), Encoding.PROTOBUF, ACME)
        assert (receipt.accepted, receipt.dead_letter) == (1, 1)
        with psycopg.connect(database_url, autocommit=True) as database:
            letters = database.execute("select detail from callfare.dead_letter").fetchall()
            assert "UniqueViolation" in letters[0][0]
            database.execute("delete from callfare.record where trace_id = %s", (bodies.trace_id(0).hex(),))
            database.execute(
                "truncate callfare.record, callfare.trace, callfare.workflow_rollup,"
                " callfare.workflow_total, callfare.daily_rollup, callfare.hourly_rollup, callfare.spend_rollup"
            )
    finally:
        committer.close()
