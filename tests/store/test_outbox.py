"""Spans wait in the outbox of the transaction that stored their records, and leave it once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope as Scope
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from psycopg_pool import ConnectionPool

from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.forward.workflow_span import FinalWorkflow, workflow_span
from cost_exporter.store.database.migrate import migrate, migrations
from cost_exporter.store.finalise import FinalisedTrace, finalise
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.outbox import PostgresClaim, PostgresOutbox, insert_outgoing
from tests.domain.builders import TRACE, call, key, link, price_by_sum, span_id
from tests.store.requests import RECEIVED_AT_UNIX_NS, request

IDLE = timedelta(minutes=5)
RECEIVED_AT = datetime.fromtimestamp(RECEIVED_AT_UNIX_NS / 1e9, UTC)


@pytest.fixture
def outbox(database_url: str):
    with ConnectionPool[Any](database_url, min_size=1, max_size=3, open=True) as pool:
        yield PostgresOutbox(pool)


def named(name: str) -> bytes:
    return Span(name=name).SerializeToString()


def outgoing(name: str) -> OutgoingSpan:
    return OutgoingSpan(resource=b"", scope=b"", span=named(name))


def spans_of(claim: PostgresClaim) -> list[Span]:
    """The spans as the backend gets them."""
    request = ExportTraceServiceRequest.FromString(b"".join(claim.requests))
    return [span for each in request.resource_spans for group in each.scope_spans for span in group.spans]


def names(claim: PostgresClaim) -> list[str]:
    return [span.name for span in spans_of(claim)]


@pytest.fixture
def forwarding(database_url: str):
    ledger = LedgerStore(database_url, enrich=lambda record: Span(trace_state=record.status).SerializeToString())
    yield ledger
    ledger.close()


def commit(ledger: LedgerStore, *spans: Any, sent: dict[str, str]) -> None:
    facts = request(*spans)
    waiting = {key(name): outgoing(shown) for name, shown in sent.items()}
    ledger.commit([replace(facts, outgoing=waiting)], price_by_sum)


def test_a_new_record_leaves_with_its_cost_once(forwarding: LedgerStore, outbox: PostgresOutbox) -> None:
    """The span of a new call waits with what it costs; the same span again sends nothing."""
    for _ in range(2):
        commit(forwarding, call("a"), sent={"a": "chat"})
    with outbox.claim() as claim:
        assert [(span.name, span.trace_state) for span in spans_of(claim)] == [("chat", "priced")]
        claim.done()
    assert outbox.state() == (0, 0)


def test_a_marked_link_leaves_as_it_is(forwarding: LedgerStore, outbox: PostgresOutbox) -> None:
    """A span that is no call goes on unchanged, once."""
    for _ in range(2):
        commit(forwarding, link("agent"), call("a"), sent={"agent": "invoke_agent"})
    with outbox.claim() as claim:
        assert [(span.name, span.trace_state) for span in spans_of(claim)] == [("invoke_agent", "")]


def test_spans_of_one_origin_share_a_row(forwarding: LedgerStore, outbox: PostgresOutbox) -> None:
    """Resource and scope are written once for the spans of a transaction, and never for those of another."""
    names_sent = {"a": "1", "b": "2", "c": "3"}
    facts = request(*(call(name, model=name) for name in names_sent))
    waiting = {
        key(name): OutgoingSpan(b"", Scope(name="z" if name == "c" else "y").SerializeToString(), named(shown))
        for name, shown in names_sent.items()
    }
    forwarding.commit([replace(facts, outgoing=waiting)], price_by_sum)
    with outbox.claim() as claim:
        rows = [ExportTraceServiceRequest.FromString(each).resource_spans[0].scope_spans[0] for each in claim.requests]
        found = {row.scope.name: sorted(span.name for span in row.spans) for row in rows}
    assert (claim.span_count, found) == (3, {"y": ["1", "2"], "z": ["3"]})


def test_what_is_not_done_stays(forwarding: LedgerStore, outbox: PostgresOutbox) -> None:
    """A claim that ends without a word, or with an error, gives its spans back."""
    commit(forwarding, call("a"), call("b", model="m"), sent={"a": "1", "b": "2"})
    with outbox.claim():
        pass
    with pytest.raises(ZeroDivisionError), outbox.claim() as claim:
        claim.done(given_up_count=1 // 0)
    assert outbox.state() == (2, 0)
    with outbox.claim() as claim:
        claim.done()
    assert outbox.state() == (0, 0)


def test_two_senders_never_hold_the_same_span(forwarding: LedgerStore, outbox: PostgresOutbox) -> None:
    """What one claim holds another one skips."""
    commit(forwarding, call("a"), sent={"a": "1"})
    with outbox.claim() as mine:
        commit(forwarding, call("b", model="m"), sent={"b": "2"})
        with outbox.claim() as theirs:
            assert (names(mine), names(theirs)) == (["1"], ["2"])


def test_what_is_given_up_is_counted(forwarding: LedgerStore, outbox: PostgresOutbox, database_url: str) -> None:
    """Refused for good or too old: gone, and counted span by span for ever."""
    commit(forwarding, call("a"), call("b", model="m"), sent={"a": "1", "b": "2"})
    with outbox.claim() as claim:
        claim.done(given_up_count=1)
    commit(forwarding, call("c", model="n"), call("d", model="o"), sent={"c": "3", "d": "4"})
    assert outbox.give_up_older_than(timedelta(hours=1)) == 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update callfare.outbox set waiting_since = now() - interval '2 hours'")
    assert outbox.give_up_older_than(timedelta(hours=1)) == 2
    assert outbox.state() == (0, 1 + 2)


def test_rows_and_claims_are_bounded(outbox: PostgresOutbox, database_url: str) -> None:
    """By spans and by bytes, so that a receiver with gRPC's usual bound takes what one claim sends."""
    large = Span(name="x" * (100 << 10)).SerializeToString()
    spans = [outgoing(str(number)) for number in range(1025)] + [OutgoingSpan(b"", b"\x0a\x01s", large)] * 60
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        insert_outgoing(cursor, [(span, b"") for span in spans])
    with psycopg.connect(database_url, autocommit=True) as connection:
        counts = connection.execute("select span_count from callfare.outbox order by id").fetchall()
    assert [count for (count,) in counts] == [512, 512, 1] + [6] * 10
    found: list[str] = []
    is_full = True
    while is_full:
        with outbox.claim() as claim:
            assert sum(map(len, claim.requests)) < 3 << 20
            found += names(claim)
            is_full = claim.is_full
            claim.done()
    assert (len(found), outbox.state()) == (1025 + 60, (0, 0))
    assert found[:1025] == [str(number) for number in range(1025)]


def test_what_waited_in_the_older_form_is_kept(empty_database_url: str) -> None:
    """An upgrade puts waiting spans into the new form, whatever their size."""
    older = [each for each in migrations() if each.version < 23]
    migrate(empty_database_url, older)
    sizes = [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        for size in sizes:
            span = Span(name="x" * size).SerializeToString()
            connection.execute("insert into callfare.outbox (resource, scope, span) values (%s, '', %s)", (b"", span))
    migrate(empty_database_url)
    found: list[int] = []
    with ConnectionPool[Any](empty_database_url, min_size=1, max_size=1, open=True) as pool:
        converted = PostgresOutbox(pool)
        while converted.state() != (0, 0):
            with converted.claim() as claim:
                found += [len(name) for name in names(claim)]
                claim.done()
    assert found == sizes


def test_a_final_workflow_sends_its_total_once(
    forwarding: LedgerStore, outbox: PostgresOutbox, database_url: str
) -> None:
    """In the transaction that makes it final: a small span below the root, with the exact total."""
    commit(forwarding, call("a"), link("root", parent=None), sent={})

    def total_span(final: FinalisedTrace) -> OutgoingSpan:
        assert final.root_span_id == span_id("root").hex()
        return workflow_span(
            FinalWorkflow(
                tenant=final.tenant,
                trace_id=bytes.fromhex(final.trace_id),
                root_span_id=bytes.fromhex(final.root_span_id),
                ended_at_unix_ns=0,
                total_cost_usd=final.total_cost_usd,
                unpriced_count=final.unpriced_count,
            )
        )

    with psycopg.connect(database_url) as connection:
        for _ in range(2):
            finalise(connection, idle=IDLE, now=RECEIVED_AT + IDLE * 2, outgoing=total_span)
    with outbox.claim() as claim:
        (sent,) = spans_of(claim)
    attributes = {each.key: each.value.string_value for each in sent.attributes}
    assert (sent.trace_id, sent.parent_span_id) == (TRACE, span_id("root"))
    assert attributes["callfare.workflow.cost.amount"] == "0.001545"
    assert attributes["callfare.cost.status"] == "priced"
