"""Long traces: a commit loads what its spans can change, and the tables are what settling all of it would make them."""

import os
import random
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cost_exporter.domain.attribution import NO_ATTRIBUTION, Attribution
from cost_exporter.domain.facts import Facts
from cost_exporter.domain.settling.lineage import root_of_call
from cost_exporter.domain.span import Call, EmitterRank, Link
from cost_exporter.store.database.connection import connect_ledger
from cost_exporter.store.finalise import forget_empty_traces
from cost_exporter.store.ledger import long_traces
from cost_exporter.store.ledger.ledger import LedgerStore
from cost_exporter.store.ledger.locked_traces import (
    LockedTraces,
    call_hashes,
    lock_and_load,
    span_ids_of,
    trace_keys_of,
)
from cost_exporter.store.ledger.long_traces import complete
from cost_exporter.store.ledger.trace_state import merge
from cost_exporter.store.retention import purge_before
from tests.domain.builders import OTHER_TRACE, call, link, price_by_sum, span_id
from tests.domain.facts import with_true_hash
from tests.store.requests import clear, hashed, problems, request, rows, snapshot

IS_FULL = os.environ.get("CALLFARE_FULL") == "1"
EXAMPLES = int(os.environ.get("CALLFARE_ORDER_EXAMPLES", "200" if IS_FULL else "25"))
SHUFFLED = 5 if IS_FULL else 1
NAMES = list("abcdefghijkl")
Span = Call | Link

words = st.sampled_from([None, None, "x", "y"])
attributions = st.one_of(
    st.just(NO_ATTRIBUTION),
    st.just(NO_ATTRIBUTION),
    st.builds(
        Attribution,
        tenant=st.sampled_from([None, "acme", "globex"]),
        category=words,
        task=words,
        user=words,
        api_key=words,
        workflow_name=words,
        outcome=st.sampled_from([None, None, "failed"]),
        # Drawn, they would be texts that reading cleans.
        tier=st.none(),
        workflow_id=st.none(),
        revenue_amount=st.none(),
        revenue_currency=st.none(),
    ),
)
parents = st.sampled_from([None, *["root", "step", "deep"] * 3, "gone", *NAMES[:6]])


@st.composite
def calls(draw: st.DrawFn) -> Call:
    start_ms = draw(st.sampled_from([0, 3, 900, 5_000, 86_400_000]))
    session = draw(st.sampled_from(["", "", "", "s1"]))
    made = call(
        draw(st.sampled_from(NAMES)),
        parent=draw(parents),
        start_ms=start_ms,
        end_ms=start_ms + draw(st.sampled_from([0, 50, 4_200, 700_000])),
        scope=draw(st.sampled_from(["scope.a", "scope.b"])),
        emitter_rank=draw(st.sampled_from([EmitterRank.PLAIN, EmitterRank.FRAMEWORK, EmitterRank.NATIVE])),
        provider=draw(st.sampled_from(["openai", "openai", "aws"])),
        model=draw(st.sampled_from(["gpt-4o-mini", "openai/gpt-4o-mini", "gpt-4o"])),
        operation=draw(st.sampled_from(["chat", "chat", "speech_to_text"])),
        quantities=draw(
            st.sampled_from(
                [
                    {"input_tokens": 100, "output_tokens": 7},
                    {"input_tokens": 100, "output_tokens": 7, "cache_read_tokens": 40},
                    {"input_tokens": 60, "output_tokens": 7},
                    {"audio_seconds": Decimal("61.50")},
                    {"audio_seconds": Decimal("61.5")},
                    {},
                ]
            )
        ),
        attribution=draw(attributions),
        resource_attribution=draw(attributions),
        call_id=draw(st.sampled_from(["", "", "", "response:1", "response:2", "phone:CA1"])),
        is_billable=draw(st.sampled_from([True, True, True, False])),
        is_look_alike=draw(st.sampled_from([False] * 7 + [True])),
        is_gateway=draw(st.sampled_from([False] * 5 + [True])),
        has_gateway_id=draw(st.sampled_from([False] * 5 + [True])),
        session_id=session,
        session_sequence=draw(st.integers(0, 2)) if session else None,
        session_vendor_total_seconds=draw(st.sampled_from([None, Decimal("80.25")])) if session else None,
    )
    return with_true_hash(made)


links = st.builds(
    link,
    st.sampled_from(["root", "step", "deep", "side"]),
    parent=st.sampled_from([None, "root", "root", "step", "gone", *NAMES[:4]]),
    attribution=attributions,
)


def stored(database: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """What the tables say, but for where the links of a trace are kept."""
    found = snapshot(database)
    columns = "to_jsonb(x) - array['version', 'last_received_at', 'is_joined', 'links', 'attributions', 'roots']"
    found["trace"] = [str(row) for row in rows(database, f"select {columns} from callfare.trace as x")]
    return found


def arriving(*spans: Span) -> Facts:
    """A request as reading gives it: what only looks like a call is a link as well."""
    looks = [hashed(span) for span in spans if isinstance(span, Call) and span.is_look_alike]
    links = [
        Link(
            trace_id=each.trace_id,
            span_id=each.span_id,
            parent_span_id=each.parent_span_id,
            attribution=each.attribution,
            root=root_of_call(each) if each.parent_span_id is None else None,
        )
        for each in looks
    ]
    others = [span for span in spans if isinstance(span, Link) or not span.is_look_alike]
    return replace(request(*others, *links), look_alikes=looks)


def deliver(ledger: LedgerStore, spans: list[Span], randomness: random.Random) -> None:
    """Send the spans in random order and in small commits, some of them twice."""
    spans = spans + randomness.sample(spans, len(spans) // 3)
    randomness.shuffle(spans)
    while spans:
        size = randomness.randint(1, 4)
        ledger.commit([arriving(*spans[:size])], price_by_sum)
        spans = spans[size:]


def check(ledger: LedgerStore, database: psycopg.Connection[Any], spans: list[Span], randomness: random.Random) -> None:
    """Hold what small commits leave against what one commit of everything leaves."""
    clear(database)
    ledger.commit([arriving(*spans)], price_by_sum)
    at_once = stored(database)
    clear(database)
    deliver(ledger, list(spans), randomness)
    found = stored(database)
    assert not problems(database)
    for table, lines in at_once.items():
        assert found[table] == lines, table


def staying(spans: list[Span]) -> list[Span]:
    """Return the spans, each with one parent where some of them only look like calls.

    Of a span that only frames calls no content is kept. So it gets no record where the last call below it comes again
    with another parent, which no tracer does.
    """
    if not any(isinstance(span, Call) and span.is_look_alike for span in spans):
        return spans
    parents: dict[bytes, bytes | None] = {}
    moved = [replace(each, parent_span_id=parents.setdefault(each.span_id, each.parent_span_id)) for each in spans]
    return [with_true_hash(each) if isinstance(each, Call) else each for each in moved]


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(spans=st.lists(st.one_of(calls(), calls(), links), min_size=4, max_size=24), randomness=st.randoms())
def test_a_long_trace_is_what_settling_all_of_it_at_once_makes_it(
    ledger: LedgerStore, database: psycopg.Connection[Any], spans: list[Span], randomness: random.Random
) -> None:
    """The law, with every trace long from its second commit on."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(long_traces, "LONG_TRACE_SPANS", 0)
        check(ledger, database, staying(spans), randomness)


# What random spans seldom are. Each is told one span at a time, in the order given, and all at once.
_ATTRIBUTION = Attribution(tenant="acme", category="bot")
_AGENT = replace(call("agent", quantities={}), is_look_alike=True)
_REPORTED = replace(call("told", parent="agent", quantities={}, attribution=_ATTRIBUTION), is_look_alike=True)
SHAPES: dict[str, list[Span]] = {
    "a step that says something after its calls": [
        link("side"),
        call("a", parent="step"),
        call("b", parent="deep"),
        link("deep", parent="step"),
        link("step", attribution=_ATTRIBUTION),
    ],
    "a step that joins calls to what is above": [
        link("root", parent=None),
        link("agent", attribution=_ATTRIBUTION),
        call("a", parent="step"),
        call("b", parent="step"),
        link("step", parent="agent"),
    ],
    "a root that says something at the end": [
        link("step"),
        call("a", parent="step"),
        call("b", attribution=Attribution(category="own")),
        call("c"),
        link("root", parent=None, attribution=_ATTRIBUTION),
    ],
    "a root with another tenant than the one before": [
        link("step"),
        call("a"),
        link("root", parent=None, attribution=_ATTRIBUTION),
        call("b"),
        call("c"),
        call("d", parent=None, start_ms=-20_000, attribution=Attribution(tenant="globex")),
    ],
    "an equal call in another scope, a while before": [
        link("side"),
        call("a", start_ms=0, end_ms=600_000),
        call("b", start_ms=700_000, end_ms=700_100),
        call("c", start_ms=500_000, end_ms=500_100, scope="scope.b"),
    ],
    "runs of equal calls that meet": [
        link("side"),
        call("a", start_ms=0, end_ms=100),
        call("b", start_ms=150, end_ms=300, scope="scope.b"),
        call("c", start_ms=90, end_ms=160, scope="scope.b"),
        call("d", start_ms=95, end_ms=155),
    ],
    "Bedrock without what was cached": [
        link("side"),
        call("a", provider="aws", quantities={"input_tokens": 50, "output_tokens": 9}),
        call("b", quantities={"input_tokens": 1}),
        call(
            "c",
            provider="aws",
            scope="scope.b",
            quantities={"input_tokens": 90, "output_tokens": 9, "cache_read_tokens": 40},
        ),
    ],
    "a session and its total": [
        link("side"),
        *[
            call(
                name,
                operation="speech_to_text",
                quantities={"audio_seconds": Decimal(60)},
                session_id="s",
                session_sequence=place,
                start_ms=60_000 * place,
                end_ms=60_000 * place,
            )
            for place, name in enumerate("abc")
        ],
        call(
            "d",
            operation="speech_to_text",
            quantities={"audio_seconds": Decimal(9)},
            session_id="s",
            session_sequence=3,
            session_vendor_total_seconds=Decimal(150),
            start_ms=200_000,
            end_ms=200_000,
        ),
    ],
    "a framework above vendors that came first": [
        link("side"),
        call("a", parent="step", emitter_rank=EmitterRank.NATIVE, quantities={"input_tokens": 7}),
        link("step", parent="f"),
        call("b", parent="f", emitter_rank=EmitterRank.NATIVE),
        call("f", emitter_rank=EmitterRank.FRAMEWORK, quantities={"input_tokens": 1207, "output_tokens": 345}),
    ],
    "a price of a phone call that comes later": [
        link("side"),
        call("a", operation="phone_call", call_id="phone:CA1", quantities={"call_seconds": 31}),
        call("b"),
        call(
            "c",
            operation="phone_call",
            call_id="phone:CA1",
            quantities={"call_seconds": 31},
            start_ms=90_000,
            end_ms=91_000,
            vendor_cost_usd=Decimal("0.0085"),
        ),
    ],
    "a content that says less than the one before": [
        link("side"),
        call("a", quantities={}, attribution=Attribution(workflow_name="zebra", category="bot")),
        call("b", parent="a", attribution=Attribution(workflow_name="ant")),
        call("c"),
        call("a", parent="b"),
    ],
    "a parent that turns out to be another": [
        link("side"),
        call("a", quantities={}, parent="f"),
        call("b", parent="a"),
        call("c", parent="g"),
        call("f", emitter_rank=EmitterRank.FRAMEWORK, attribution=_ATTRIBUTION),
        call("g", attribution=Attribution(category="g")),
        call("a", parent="g"),
    ],
    "a root that is nobody's ancestor": [
        link("side"),
        call("a", parent="gone"),
        call("b", parent="gone", attribution=Attribution(category="own")),
        call("c", parent="gone", resource_attribution=Attribution(tenant="globex")),
        link("end", parent=None, attribution=_ATTRIBUTION),
    ],
    "a content that starts later than the one before": [
        link("side"),
        call("a", quantities={}, start_ms=-500),
        call("b"),
        call("c"),
        call("a", start_ms=10),
    ],
    "an agent and its calls": [link("side"), call("a", parent="step"), call("b"), _AGENT, link("step", parent="agent")],
    "an agent of agents": [link("side"), _AGENT, call("a", parent="told"), _REPORTED, call("b", parent="agent")],
    "an agent without calls that inherits": [
        link("side"),
        _AGENT,
        link("step", parent="agent"),
        _REPORTED,
        call("a"),
        link("root", parent=None, attribution=_ATTRIBUTION),
    ],
    "a forged ring around an agent": [
        link("side"),
        replace(_AGENT, parent_span_id=span_id("g")),
        call("b"),
        link("g", parent="agent"),
        call("a", parent="g"),
    ],
    "a forged ring": [
        link("side"),
        call("a", parent="g"),
        link("g", parent="h"),
        call("b", parent="h"),
        link("h", parent="g"),
        call("c", parent="a"),
        call("a", parent="c"),
    ],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_told_span_by_span_is_what_it_is_at_once(
    ledger: LedgerStore, database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    """In this order, backwards, and in orders between."""
    monkeypatch.setattr(long_traces, "LONG_TRACE_SPANS", 0)
    spans = [with_true_hash(span) if isinstance(span, Call) else span for span in SHAPES[shape]]
    clear(database)
    ledger.commit([arriving(*spans)], price_by_sum)
    at_once = stored(database)
    turns = [spans, spans[::-1], *(random.Random(seed).sample(spans, len(spans)) for seed in range(SHUFFLED))]
    for turn in turns:
        clear(database)
        for span in turn:
            ledger.commit([arriving(span)], price_by_sum)
        found = stored(database)
        assert not problems(database)
        for table, lines in at_once.items():
            assert found[table] == lines, (table, [span.span_id for span in turn])


def apart(name: str, place: int) -> Call:
    """A call like others, at a time of its own."""
    return call(name, parent="step", start_ms=5_000 * place, end_ms=5_000 * place + 900)


def loaded(database_url: str, *spans: Span) -> int:
    """How many calls are loaded, the new ones among them, to store these spans."""
    facts = arriving(*spans)
    with connect_ledger(database_url) as connection:
        locked = lock_and_load(connection, trace_keys_of([facts]), call_hashes([facts]), 0, span_ids_of([facts]))
        assert isinstance(locked, LockedTraces)
        merge(locked.states, facts)
        complete(connection, locked.states.values())
        connection.rollback()
        return sum(len(state.calls) for state in locked.states.values())


def test_what_one_more_span_loads_does_not_grow_with_the_trace(
    ledger: LedgerStore, database: psycopg.Connection[Any], database_url: str
) -> None:
    """A call with a step of its own loads nothing, a step its calls, a root that says something those that change."""
    ledger.commit([request(link("step", parent="root"))], price_by_sum)
    for start in range(0, 300, 100):
        some = [apart(f"c{n}", n) for n in range(start, start + 100)]
        ledger.commit(
            [request(*some, replace(apart(f"s{start}", 500 + start), parent_span_id=span_id(f"late{start}")))],
            price_by_sum,
        )
    assert rows(database, "select count(*) from callfare.long_span where not is_link") == [(303,)]
    assert rows(database, "select links, attributions from callfare.trace") == [(None, None)]
    assert loaded(database_url, apart("new", -60)) == 1
    assert loaded(database_url, apart("c7", 7)) == 1
    assert loaded(database_url, link("late100", attribution=Attribution(task="t"))) == 1
    assert loaded(database_url, link("late100")) == 0
    assert loaded(database_url, link("root", parent=None)) == 0
    assert loaded(database_url, link("root", parent=None, attribution=Attribution(workflow_name="w"))) == 0
    assert loaded(database_url, link("root", parent=None, attribution=Attribution(task="t"))) == 303
    assert problems(database) == []


def test_a_trace_has_no_end(ledger: LedgerStore, database: psycopg.Connection[Any]) -> None:
    """More calls than were ever settled as a whole; the last of them is found to repeat one."""
    for start in range(0, 21_000, 3_000):
        some = [replace(apart(f"{n}", n), call_id=f"response:{n}") for n in range(start, start + 3_000)]
        ledger.commit([request(*some)], price_by_sum)
    ledger.commit([request(call("again", call_id="response:17"))], price_by_sum)
    assert rows(database, "select request_count, duplicate_count from callfare.workflow_cost") == [(21_000, 1)]
    assert rows(database, "select record_count from callfare.trace") == [(21_001,)]
    assert rows(database, "select count(*) from callfare.dead_letter") == [(0,)]
    assert problems(database) == []


def test_the_index_goes_with_its_trace(ledger: LedgerStore, database: psycopg.Connection[Any]) -> None:
    """With the records of a purged month, and with a trace of other people's spans that is forgotten."""
    for name in "ab":
        ledger.commit([request(*[call(f"{name}{n}", parent="step") for n in range(200)])], price_by_sum)
    assert rows(database, "select count(*) from callfare.long_span") == [(400,)]
    ledger.commit([request(*[link(f"l{n}", trace=OTHER_TRACE) for n in range(200)])], price_by_sum)
    ledger.commit([request(link("more", trace=OTHER_TRACE))], price_by_sum)
    database.execute("update callfare.trace set finalised_at = '2026-01-01'")
    assert forget_empty_traces(database, now=datetime(2026, 1, 3, tzinfo=UTC)) == 1
    assert rows(database, "select count(*) from callfare.long_span") == [(400,)]
    assert purge_before(database, date(2030, 1, 1)) != []
    assert rows(database, "select count(*) from callfare.long_span") == [(0,)]


def test_the_index_is_verified(ledger: LedgerStore, database: psycopg.Connection[Any]) -> None:
    """A call that is missing there would be missing where it is judged."""
    for name in "ab":
        ledger.commit([request(*[call(f"{name}{n}") for n in range(100)])], price_by_sum)
    database.execute("delete from callfare.long_span where span_id = (select min(span_id) from callfare.record)")
    assert [row[0] for row in problems(database)] == ["long_trace"]
    database.execute("delete from callfare.long_trace")
