"""The law of the ledger: the same spans give the same tables, in whatever order and batches they arrive."""

import os
import random
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.span import Call, EmitterRank, Link, Root
from cost_exporter.store.ledger.ledger import LedgerStore
from tests.domain.builders import at_ms, call, price_by_sum
from tests.store.requests import clear, problems, request, rows, snapshot

EXAMPLES = int(os.environ.get("CALLFARE_ORDER_EXAMPLES", "40"))
TRACES = [b"a" * 16, b"b" * 16, b"c" * 16]
NAMES = ["1", "2", "3", "4", "5"]

words = st.sampled_from([None, None, "x", "y"])
attributions = st.one_of(
    st.just(NO_ATTRIBUTION),
    st.builds(
        Attribution,
        tenant=st.sampled_from([None, "acme", "globex"]),
        category=words,
        task=words,
        tier=words,
        user=words,
        api_key=words,
        workflow_id=st.none(),
        workflow_name=words,
        outcome=st.sampled_from([None, None, "failed"]),
        revenue_amount=st.sampled_from([None, "4.99", "not money"]),
        revenue_currency=st.none(),
    ),
)
parents = st.sampled_from([None, *NAMES, "gone"])
ids = st.sampled_from(["", "", "", "response:1", "response:2", "phone:CA1"])
quantities = st.sampled_from(
    [
        {"input_tokens": 100, "output_tokens": 7},
        {"input_tokens": 100, "output_tokens": 8},
        {"characters": 240},
        {"audio_seconds": Decimal("61.5"), "channels": 2},
        {"call_seconds": 31},
        {},
    ]
)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    start_ms = draw(st.sampled_from([0, 3, 900, 86_400_000]))
    session = draw(st.sampled_from(["", "", "", "s1"]))
    return call(
        draw(st.sampled_from(NAMES)),
        trace=draw(st.sampled_from(TRACES)),
        parent=draw(parents),
        start_ms=start_ms,
        end_ms=start_ms + draw(st.sampled_from([0, 50, 1000])),
        scope=draw(st.sampled_from(["scope.a", "scope.b"])),
        emitter_rank=draw(st.sampled_from([EmitterRank.PLAIN, EmitterRank.FRAMEWORK, EmitterRank.NATIVE])),
        model=draw(st.sampled_from(["gpt-4o-mini", "gpt-4o"])),
        operation=draw(st.sampled_from(["chat", "speech_to_text", "phone_call"])),
        quantities=draw(quantities),
        attribution=draw(attributions),
        vendor_cost_usd=draw(st.sampled_from([None, None, Decimal("0.0085")])),
        resource_attribution=draw(attributions),
        call_id=draw(ids),
        is_billable=draw(st.sampled_from([True, True, True, False])),
        session_id=session,
        session_sequence=draw(st.integers(0, 2)) if session else None,
        session_vendor_total_seconds=draw(st.sampled_from([None, Decimal("80.25")])) if session else None,
        issues=draw(st.sampled_from([(), ("exclusive_input",)])),
        error_type=draw(st.sampled_from(["", "TimeoutError"])),
    )


@st.composite
def links(draw: st.DrawFn) -> Link:
    parent = draw(parents)
    root = Root(started_at_unix_ns=at_ms(-5), ended_at_unix_ns=at_ms(9000), has_failed=draw(st.booleans()))
    return Link(
        trace_id=draw(st.sampled_from(TRACES)),
        span_id=draw(st.sampled_from(["6", "7", "8"])).encode().rjust(8, b"\0"),
        parent_span_id=None if parent is None else parent.encode().rjust(8, b"\0"),
        attribution=draw(attributions),
        root=root if parent is None else None,
    )


Span = Call | Link


def deliver(ledger: LedgerStore, spans: list[Span], randomness: random.Random) -> None:
    """Send the spans in random order, in random requests and groups, some of them twice."""
    spans = spans + randomness.sample(spans, len(spans) // 3)
    randomness.shuffle(spans)
    while spans:
        group: list[Any] = []
        for _ in range(randomness.randint(1, 3)):
            size = randomness.randint(1, 6)
            chosen, spans = spans[:size], spans[size:]
            group.append(request(*chosen))
        ledger.commit(group, price_by_sum)


def differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, set[str]]:
    """The rows, by table, that only one of two snapshots has."""
    return {table: set(one[table]) ^ set(other[table]) for table in one if one[table] != other[table]}


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(spans=st.lists(st.one_of(calls(), calls(), links()), min_size=1, max_size=16), randomness=st.randoms())
def test_any_order_and_batching_give_identical_tables(
    ledger: LedgerStore, database: psycopg.Connection[Any], spans: list[Span], randomness: random.Random
) -> None:
    """Two deliveries of one set of spans leave the same records, rollups, revisions and traces."""
    clear(database)
    ledger.commit([request(*spans)], price_by_sum)
    at_once = snapshot(database)
    assert problems(database) == []
    assert rows(database, "select * from callfare.dead_letter") == []
    clear(database)
    deliver(ledger, list(spans), randomness)
    found = differences(snapshot(database), at_once)
    assert not found, "\n".join(f"{table}: {row}" for table, rows_ in found.items() for row in rows_)
    assert problems(database) == []
