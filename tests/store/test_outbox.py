"""Spans wait in the outbox of the transaction that stored their records, and leave it once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from psycopg_pool import ConnectionPool

from cost_exporter.domain.facts import OutgoingSpan
from cost_exporter.forward.workflow_span import FinalWorkflow, workflow_span
from cost_exporter.store.finalise import FinalisedTrace, finalise
from cost_exporter.store.ledger import LedgerStore
from cost_exporter.store.outbox import PostgresOutbox
from tests.domain.builders import TRACE, call, key, link, price_by_sum, span_id
from tests.store.requests import RECEIVED_AT_UNIX_NS, request

IDLE = timedelta(minutes=5)
RECEIVED_AT = datetime.fromtimestamp(RECEIVED_AT_UNIX_NS / 1e9, UTC)


@pytest.fixture
def outbox(database_url: str):
    with ConnectionPool[Any](database_url, min_size=1, max_size=3, open=True) as pool:
        yield PostgresOutbox(pool)


def outgoing(name: str) -> OutgoingSpan:
    return OutgoingSpan(resource=b"", scope=b"", span=Span(name=name).SerializeToString())


def names(spans) -> list[str]:
    return [Span.FromString(each.span).name for each in spans]


@pytest.fixture
def forwarding(database_url: str):
    ledger = LedgerStore(database_url, enrich=lambda record: Span(trace_state=record.status).SerializeToString())
    yield ledger
    ledger.close()


def commit(ledger: LedgerStore, *spans: Any, sent: dict[str, str]) -> None:
    facts = request(*spans)
    facts.outgoing = {key(name): outgoing(shown) for name, shown in sent.items()}
    ledger.commit([facts], price_by_sum)


def test_a_new_record_leaves_with_its_cost_once(forwarding: LedgerStore, outbox: PostgresOutbox) -> None:
    """The span of a new call waits with what it costs; the same span again sends nothing."""
    for _ in range(2):
        commit(forwarding, call("a"), sent={"a": "chat"})
    with outbox.claim(10) as claim:
        assert names(claim.spans) == ["chat"]
        assert Span.FromString(claim.spans[0].span).trace_state == "priced"
        claim.done([0])
    assert outbox.state() == (0, 0)


def test_a_marked_link_leaves_as_it_is(forwarding: LedgerStore, outbox: PostgresOutbox) -> None:
    """A span that is no call goes on unchanged, once."""
    for _ in range(2):
        commit(forwarding, link("agent"), call("a"), sent={"agent": "invoke_agent"})
    with outbox.claim(10) as claim:
        assert names(claim.spans) == ["invoke_agent"]
        assert Span.FromString(claim.spans[0].span).trace_state == ""


def test_what_is_not_done_stays(forwarding: LedgerStore, outbox: PostgresOutbox) -> None:
    """A claim that ends without a word, or with an error, gives its spans back."""
    commit(forwarding, call("a"), call("b", model="m"), sent={"a": "1", "b": "2"})
    with pytest.raises(RuntimeError), outbox.claim(10):
        raise RuntimeError
    with outbox.claim(1) as claim:
        claim.done([0])
    assert outbox.state() == (1, 0)


def test_two_senders_never_hold_the_same_span(forwarding: LedgerStore, outbox: PostgresOutbox) -> None:
    """What one claim holds another one skips."""
    commit(forwarding, call("a"), call("b", model="m"), sent={"a": "1", "b": "2"})
    with outbox.claim(1) as mine, outbox.claim(10) as theirs:
        assert set(names(mine.spans)).isdisjoint(names(theirs.spans))
        assert len(mine.spans) + len(theirs.spans) == 2


def test_what_is_given_up_is_counted(forwarding: LedgerStore, outbox: PostgresOutbox, database_url: str) -> None:
    """Refused for good or too old: gone, and counted for ever."""
    commit(forwarding, call("a"), call("b", model="m"), sent={"a": "1", "b": "2"})
    with outbox.claim(1) as claim:
        claim.give_up([0])
    assert outbox.give_up_older_than(timedelta(hours=1)) == 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update callfare.outbox set waiting_since = now() - interval '2 hours'")
    assert outbox.give_up_older_than(timedelta(hours=1)) == 1
    assert outbox.state() == (0, 2)


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
    with outbox.claim(10) as claim:
        (sent,) = [Span.FromString(each.span) for each in claim.spans]
    said = {each.key: each.value.string_value for each in sent.attributes}
    assert (sent.trace_id, sent.parent_span_id) == (TRACE, span_id("root"))
    assert said["callfare.workflow.cost.amount"] == "0.001545"
    assert said["callfare.cost.status"] == "priced"
