"""The forms in which things lie in the database come back as what they were."""

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.quote import Line, Rate
from cost_exporter.domain.span import Call, EmitterRank, Link, Root, SpanKey
from cost_exporter.domain.usage import UsageRecord
from cost_exporter.store.codec.arrays import (
    BoolArray,
    ByteaArray,
    DateArray,
    Int2Array,
    Int8Array,
    TextArray,
    TimestampArray,
    UuidArray,
    register_arrays,
)
from cost_exporter.store.codec.call_json import call_from_payload, call_payload
from cost_exporter.store.codec.link_bytes import pack_links, unpack_links
from cost_exporter.store.codec.record_columns import lines_from, lines_json
from tests.domain.builders import TRACE, call, price_by_sum
from tests.store.requests import request

texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8)
attributions = st.builds(
    Attribution,
    **{name: st.one_of(st.none(), texts) for name in Attribution._fields},  # pyright: ignore[reportArgumentType]
)
counts = st.one_of(st.integers(0, 10**12), st.decimals(0, 10**9, places=9))
money = st.decimals(0, 10**11, places=12)
times = st.integers(1_600_000_000 * 10**9, 1_900_000_000 * 10**9)
ids = st.binary(min_size=8, max_size=8)


def every_field(cls: type, **given_strategies: Any) -> Any:
    """A strategy that sets every field, also those that are added to the class later."""
    by_type = {
        "str": texts,
        "bool": st.booleans(),
        "int": st.integers(-(2**63), 2**63 - 1),
        "int | None": st.one_of(st.none(), st.integers(0, 10**6)),
        "Decimal | None": st.one_of(st.none(), money),
        "tuple[str, ...]": st.lists(texts, max_size=2).map(tuple),
        "bytes | None": st.one_of(st.none(), ids),
        "Attribution": attributions,
        "EmitterRank": st.sampled_from(EmitterRank),
    }
    known = {name: _type_name(kind) for name, kind in cls.__annotations__.items()}
    chosen = {name: by_type[kind] for name, kind in known.items() if name not in given_strategies}
    return st.builds(cls, **chosen, **given_strategies)


def _type_name(kind: Any) -> str:
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    return name.replace("decimal.", "").replace("cost_exporter.domain.attribution.", "")


usages = every_field(
    UsageRecord,
    quantities=st.dictionaries(st.sampled_from(["input_tokens", "characters", "audio_seconds"]), counts, max_size=3),
    at_unix_ns=times,
    # Not said by a span: they come from the settled trace.
    tenant=st.just(""),
    api_key=st.just(""),
    session_before=st.none(),
)
calls = every_field(
    Call,
    trace_id=st.just(TRACE),
    span_id=ids,
    started_at_unix_ns=times,
    ended_at_unix_ns=times,
    usage=usages,
    content_hash=st.integers(-(2**63), 2**63 - 1),
)


@given(calls)
def test_a_call_comes_back_equal_from_its_payload(one: Call) -> None:
    """Every field of a call and of its usage survives being written as JSON."""
    assert call_from_payload(call_payload(one)) == (one, None)


@given(st.lists(st.tuples(ids, st.one_of(st.none(), ids), attributions, st.booleans()), unique_by=lambda each: each[0]))
def test_links_come_back_equal_from_their_bytes(spans: list[tuple[bytes, bytes | None, Attribution, bool]]) -> None:
    """Parents, attributions and roots survive; eight zero bytes, which are no id, stand for no parent."""
    links: dict[SpanKey, Link] = {}
    for span_id, parent, attribution, has_failed in spans:
        is_root = parent is None or parent == bytes(8)
        root = Root(started_at_unix_ns=1, ended_at_unix_ns=2, has_failed=has_failed, resource_attribution=attribution)
        links[TRACE, span_id] = Link(
            trace_id=TRACE,
            span_id=span_id,
            parent_span_id=None if is_root else parent,
            attribution=attribution,
            root=root if is_root else None,
        )
    assert unpack_links(TRACE, pack_links(links.values())) == links


@given(
    st.lists(
        every_field(
            Line,
            rate=every_field(Rate, unit=st.sampled_from(["input_tokens", "images"])),
            quantity=money,
            billed_quantity=money,
        )
    )
)
def test_lines_come_back_equal(lines: list[Line]) -> None:
    """Each digit of a line survives."""
    assert lines_from(lines_json(lines)) == tuple(lines)


def test_arrays_arrive_as_what_they_are(database: psycopg.Connection[Any]) -> None:
    """PostgreSQL reads each packed array as its type, nulls included."""
    register_arrays(database)
    row = database.execute(
        "select %b::uuid[]::text, %b::bigint[], %b::bigint[], %b::smallint[], %b::timestamptz[]::text,"
        " %b::date[]::text, %b::boolean[], %b::bytea[], %b::text[], %b::text[]",
        (
            UuidArray.of([b"\x01" * 16, None]),
            Int8Array.of([-1, None, 2**62]),
            Int8Array.of_ids([b"\xff" * 8]),
            Int2Array.of([0, 999]),
            TimestampArray.of_unix_us([1_500_000, None]),
            DateArray.of_unix_days([0, 20_000]),
            BoolArray.of([True, False]),
            ByteaArray.of([b"\x00x", None]),
            TextArray.of(["ä", None, "ä", ""]),
            TextArray.of_distinct(["1", None]),
        ),
    ).fetchone()
    assert row == (
        "{01010101-0101-0101-0101-010101010101,NULL}",
        [-1, None, 2**62],
        [-1],
        [0, 999],
        '{"1970-01-01 00:00:01.5+00",NULL}',
        "{1970-01-01,2024-10-04}",
        [True, False],
        [b"\x00x", None],
        ["ä", None, "ä", ""],
        ["1", None],
    )


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_text_that_postgresql_cannot_hold_is_refused_before(text: str) -> None:
    """NUL and lone surrogates are our error, not a broken connection."""
    with pytest.raises(ValueError, match=r"NUL|surrogates"):
        TextArray.of([text, "b"])


def test_nanoseconds_and_fractions_survive_the_tables(ledger: Any, database: psycopg.Connection[Any]) -> None:
    """A record loaded for settling again is the record that was written: a later span changes nothing about it."""
    exact = call(
        "a",
        quantities={"audio_seconds": D("61.123456789012345678"), "channels": 2},
        service_name="tel",
        session_id="s",
        session_sequence=3,
        call_id="response:x",
        reported_cost_usd=D("0.0100"),
        issues=("exclusive_input",),
    )
    exact = replace(
        exact, started_at_unix_ns=exact.started_at_unix_ns + 123, ended_at_unix_ns=exact.ended_at_unix_ns + 7
    )
    ledger.commit([request(exact)], price_by_sum)
    before = database.execute("select xmin::text from callfare.record").fetchall()
    ledger.commit([request(call("b", quantities={"characters": 1}))], price_by_sum)
    assert before[0] in database.execute("select xmin::text from callfare.record").fetchall()
