import logging
from typing import Any

import pytest

from cost_exporter.domain.facts import Receipt
from cost_exporter.errors import Overloaded, StoreUnavailable
from cost_exporter.read.otlp.decoded import DecodedRequest
from cost_exporter.receive.answer import answer_to, success
from cost_exporter.receive.decoding.decode import Encoding, SenderIdentity
from cost_exporter.receive.gate import Gate
from cost_exporter.receive.refusal import Refusal
from cost_exporter.receive.stuck import StuckBatches
from tests.receive import bodies
from tests.receive.conftest import FakeStore
from tests.support.attribute_values import plain

ACME = SenderIdentity(namespace="acme", tenant_is_trusted=False)
CANARY = b"canary-prompt"
BATCH = bodies.body(
    bodies.span(1) + bodies.attribute(b"gen_ai.prompt.0.content", bodies.field(1, CANARY)),
    bodies.span(2),
    bodies.span(3) + bodies.event(b"deep", bodies.nested(60)),
)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def fails_on_spans(request: DecodedRequest) -> None:
    """A bug of ours that only real spans meet, as most bugs would be."""
    if bodies.spans_of(request.resource_spans):
        raise ZeroDivisionError(CANARY.decode())


def gate_with(store: FakeStore, clock: Clock, **options: Any) -> Gate:
    return Gate(store, stuck=StuckBatches(3_600, monotonic_seconds=clock), now_unix_ns=lambda: 7, **options)


def take(gate: Gate, body: bytes = BATCH, sender: SenderIdentity = ACME) -> Receipt:
    return gate.take(body, Encoding.PROTOBUF, sender)


def test_a_batch_that_keeps_failing_is_given_up_after_an_hour() -> None:
    """Until then its sender tries again; then each span is a dead letter, stripped, and the sender is free."""
    store, clock = FakeStore(), Clock()
    store.before = fails_on_spans
    gate = gate_with(store, clock)
    for minutes in (0, 1, 59):
        clock.seconds = 1_000 + minutes * 60
        with pytest.raises(Overloaded):
            take(gate)
    clock.seconds = 1_000 + 3_600
    receipt = take(gate)
    assert (receipt.received, receipt.dead_letter, receipt.accepted) == (3, 3, 0)
    for request in store.requests:
        assert (request.namespace, request.tenant_is_trusted, request.received_at_unix_ns) == ("acme", False, 7)
    reasons = {letter.span_id: letter.reason for letter in store.dead_letters}
    assert reasons == {bodies.span_id(1): "our_fault", bodies.span_id(2): "our_fault", bodies.span_id(3): "too_deep"}
    assert all(CANARY not in letter.payload and "canary" not in letter.detail for letter in store.dead_letters)
    kept = bodies.payload_span(next(letter for letter in store.dead_letters if letter.span_id == bodies.span_id(1)))
    assert plain(kept.attributes["gen_ai.usage.input_tokens"]) == 12


def test_the_patience_is_by_batch_and_tenant() -> None:
    """Another batch, or the same bytes of another tenant, has its own hour."""
    store, clock = FakeStore(), Clock()
    store.before = fails_on_spans
    gate = gate_with(store, clock)
    with pytest.raises(Overloaded):
        take(gate)
    clock.seconds += 3_600
    for other in ({"body": bodies.body(bodies.span(9))}, {"sender": SenderIdentity(namespace="other")}):
        with pytest.raises(Overloaded):
            take(gate, **other)  # type: ignore[arg-type]
    assert take(gate).dead_letter == 3


def test_what_passes_is_never_given_up() -> None:
    """A database that is away for days is no fault of the batch: it stays the sender's."""
    store, clock = FakeStore(), Clock()

    def away(request: DecodedRequest) -> None:
        raise StoreUnavailable("away")

    store.before = away
    gate = gate_with(store, clock)
    for _ in range(3):
        clock.seconds += 86_400
        with pytest.raises(StoreUnavailable):
            take(gate)


def test_given_up_letters_may_have_a_way_of_their_own() -> None:
    """`store_dead_letters` takes them; where even that fails, the sender keeps its batch."""
    store, dead_letter_store, clock = FakeStore(), FakeStore(), Clock()
    store.before = fails_on_spans
    gate = gate_with(store, clock, store_dead_letters=dead_letter_store)
    with pytest.raises(Overloaded):
        take(gate)
    clock.seconds += 3_600

    def broken(request: DecodedRequest) -> None:
        raise RuntimeError

    dead_letter_store.before = broken
    with pytest.raises(Overloaded):
        take(gate)
    dead_letter_store.before = fails_on_spans
    assert take(gate).dead_letter == 3
    assert (len(store.spans), len(dead_letter_store.requests)) == (0, 1)


def test_a_bug_in_decoding_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans that our own decoder trips over each time become dead letters by their ids."""

    def trips(*args: Any, **options: Any) -> DecodedRequest:
        raise KeyError(CANARY)

    monkeypatch.setattr("cost_exporter.receive.gate.decode", trips)
    store, clock = FakeStore(), Clock()
    gate = gate_with(store, clock)
    with pytest.raises(Overloaded):
        take(gate)
    clock.seconds += 3_600
    assert take(gate).dead_letter == 3
    assert {letter.span_id for letter in store.dead_letters} == {bodies.span_id(number) for number in (1, 2, 3)}
    for letter in store.dead_letters:
        assert (letter.reason, letter.payload) == ("our_fault", b"")
        assert letter.detail.startswith("KeyError at test_gate.py:")


def test_a_bug_is_logged_by_place_and_never_by_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """An exception's text may quote a prompt, so only its kind and place are logged."""
    store = FakeStore()
    store.before = fails_on_spans
    with caplog.at_level(logging.DEBUG), pytest.raises(Overloaded):
        take(gate_with(store, Clock()))
    assert "ZeroDivisionError at test_gate.py:" in caplog.text
    assert "canary" not in caplog.text


def test_failing_batches_are_remembered_within_a_bound() -> None:
    """The oldest is forgotten beyond the bound, and starts anew."""
    clock = Clock()
    stuck = StuckBatches(10, monotonic_seconds=clock)
    for number in range(10_001):
        assert not stuck.is_given_up(b"%d" % number)
    clock.seconds += 10
    assert not stuck.is_given_up(b"0")
    assert stuck.is_given_up(b"10000")
    stuck.forget(b"10000")
    assert not stuck.is_given_up(b"10000")


def test_an_answer_without_a_class_of_its_own_is_still_unavailable() -> None:
    """Whatever escapes is UNAVAILABLE / 503, because clients drop their batch for everything else."""
    answer = answer_to(ZeroDivisionError("canary"))
    assert (answer.reason, answer.grpc_code, answer.http_status) == (Refusal.OUR_FAULT, 14, 503)
    assert "canary" not in answer.message


def test_hints_are_spread_and_never_above_two_seconds() -> None:
    """Senders do not come back as one, and Python's budget of ten seconds is not used up."""
    delays_ms = {answer_to(Overloaded("x")).retry_delay_ms or 0 for _ in range(200)}
    assert len(delays_ms) > 10
    assert max(delays_ms) <= 2_000
    assert {answer_to(Overloaded("x")).retry_after_seconds for _ in range(50)} <= {1, 2}


def test_success_is_empty_or_a_warning() -> None:
    """partial_success is unset unless dead letters were kept."""
    assert success(Receipt(received=1, accepted=1)) == b""
    assert b"callfare deadletter list" in success(Receipt(received=1, dead_letter=1))
