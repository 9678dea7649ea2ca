"""Which two spans in two traces may be one call, without an id to prove it: each condition by itself."""

from decimal import Decimal as D
from typing import Any

import pytest

from cost_exporter.domain.settling.look_alike import (
    ALIKE_PER_SLOT_MAX,
    OVERLAP_SLACK_NS,
    LookAlike,
    alike_across_traces,
    are_alike,
    crowded,
    look_alike,
    slot_keys,
)
from cost_exporter.domain.span import Call, EmitterRank, SpanKey
from tests.domain.builders import OTHER_TRACE, T0_UNIX_NS, TRACE, call, key

MS = 1_000_000
SLOT_MS = 16_000


def seen(**fields: Any) -> LookAlike:
    common: dict[str, Any] = {
        "scope": "one",
        "started_at_unix_ns": T0_UNIX_NS,
        "ended_at_unix_ns": T0_UNIX_NS + 1000 * MS,
        "output_tokens": 345,
        "call_id": "",
        "pairs_with_any": True,
    }
    return LookAlike(**common | fields)


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        ({}, True),
        ({"scope": "one"}, False),
        ({"pairs_with_any": False}, True),
        ({"call_id": "response:1"}, True),
        ({"output_tokens": 347}, True),
        ({"output_tokens": 348}, False),
        ({"output_tokens": None}, True),
        ({"started_at_unix_ns": T0_UNIX_NS + 1000 * MS + OVERLAP_SLACK_NS, "ended_at_unix_ns": 2**63}, True),
        ({"started_at_unix_ns": T0_UNIX_NS + 1000 * MS + OVERLAP_SLACK_NS + 1, "ended_at_unix_ns": 2**63}, False),
    ],
)
def test_two_spans_may_be_one_call(other: dict[str, Any], alike: bool) -> None:
    """Whichever of them is looked at first."""
    mine, theirs = seen(), seen(**{"scope": "two"} | other)
    assert are_alike(mine, theirs) is are_alike(theirs, mine) is alike


@pytest.mark.parametrize(("mine", "theirs", "alike"), [("1", "1", True), ("1", "2", False), ("", "2", True)])
def test_two_ids_that_differ_are_two_calls(mine: str, theirs: str, alike: bool) -> None:
    """An id that only one of them states proves nothing."""
    assert are_alike(seen(call_id=mine), seen(call_id=theirs, scope="two")) is alike


def test_neither_of_two_inner_spans_is_a_call_of_the_other_trace() -> None:
    """One of the two started its trace because the other was not the current span."""
    assert not are_alike(seen(pairs_with_any=False), seen(pairs_with_any=False, scope="two"))


def test_the_output_is_compared_where_it_is_a_whole_number() -> None:
    """A stated output, and none."""
    assert look_alike(call("a")).output_tokens == 345
    assert look_alike(call("a", quantities={"input_tokens": 100})).output_tokens is None
    assert look_alike(call("a", quantities={"input_tokens": 100, "output_tokens": D("3.5")})).output_tokens is None


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 1),
        ({"parent": "root"}, 0),
        ({"parent": "root", "emitter_rank": EmitterRank.FRAMEWORK}, 1),
        ({"operation": "embeddings"}, 0),
        ({"model": ""}, 0),
        ({"is_billable": False}, 0),
        ({"session_id": "s", "session_sequence": 0}, 0),
        ({"quantities": {"input_tokens": 50}}, 1),
        ({"quantities": {"input_tokens": 40, "output_tokens": 9}}, 1),
        ({"quantities": {"input_tokens": 0, "output_tokens": 0}}, 0),
        ({"quantities": {}}, 1),
        ({"quantities": {"output_tokens": 90}}, 0),
        ({"quantities": {"input_tokens": 90, "output_tokens": D("3.5")}}, 0),
        ({"end_ms": SLOT_MS * 63}, 64),
        ({"end_ms": SLOT_MS * 64}, 0),
    ],
)
def test_which_calls_are_looked_for(fields: dict[str, Any], count: int) -> None:
    """A key for each slot of time that the call touches; none for a call that is not looked for."""
    keys = slot_keys("default", call("a", **{"parent": None} | fields))
    assert len(keys) == len(set(keys)) == count
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("fields", "with_any"),
    [
        ({}, True),
        ({"parent": "root"}, False),
        ({"quantities": {"input_tokens": 40, "output_tokens": 10}}, True),
        ({"quantities": {"input_tokens": 40, "output_tokens": 9}}, False),
        ({"quantities": {"input_tokens": 40, "output_tokens": 9}, "is_detached": True}, True),
        ({"quantities": {}}, False),
        ({"parent": "root", "is_detached": True}, True),
    ],
)
def test_which_spans_pair_with_any_other(fields: dict[str, Any], with_any: bool) -> None:
    """A root of some size, and a framework's span that is never current; small calls are equal by chance too often."""
    assert look_alike(call("a", **{"parent": None} | fields)).pairs_with_any is with_any


def test_keys_are_of_one_namespace_model_input_and_service() -> None:
    """Else calls of different customers would be compared."""
    mine = slot_keys("default", call("a", parent=None))
    assert mine == slot_keys("default", call("b", parent=None, scope="other", model="gpt-4o-mini-2024-07-18"))
    others = [
        slot_keys("other", call("a", parent=None)),
        slot_keys("default", call("a", parent=None, model="gpt-4o")),
        slot_keys("default", call("a", parent=None, quantities={"input_tokens": 1201, "output_tokens": 345})),
        slot_keys("default", call("a", parent=None, service_name="web")),
    ]
    assert all(set(mine).isdisjoint(each) for each in others)


def test_a_name_that_is_no_text_has_a_key_too() -> None:
    """A lone surrogate cannot be encoded; it is replaced."""
    assert slot_keys("default", call("a", parent=None, service_name="\ud800"))


def test_a_slot_is_crowded_by_one_scope() -> None:
    """Not by several together."""
    assert not crowded([])
    assert not crowded(["one"] * ALIKE_PER_SLOT_MAX + ["two"] * ALIKE_PER_SLOT_MAX)
    assert crowded(["one"] * (ALIKE_PER_SLOT_MAX + 1))


def pairs(*calls: Call, shared: frozenset[int] = frozenset(), **options: Any) -> set[frozenset[SpanKey]]:
    by_key = {(each.trace_id, each.span_id): each for each in calls}
    may_be_one = options.get("may_be_one", lambda *_: True)
    found = alike_across_traces(by_key, "default", shared, may_be_one)
    return {frozenset(pair) for some in found for pair in some}


def in_other_trace(name: str, **fields: Any) -> Call:
    return call(name, parent=None, trace=OTHER_TRACE, scope="two", **fields)


def test_pairs_are_spans_of_two_traces() -> None:
    """Never two of one trace."""
    a, b = call("a", parent=None), in_other_trace("b")
    assert pairs(a, b) == {frozenset({key("a"), key("b", OTHER_TRACE)})}
    assert pairs(a, call("c", parent=None, scope="two")) == set()
    assert pairs(a, call("c", parent=None, scope="two"), in_other_trace("b", model="gpt-4o")) == set()


def test_pairs_overlap_however_their_ids_are_ordered() -> None:
    """The sweep goes by their starts; a span that ended before is no longer open."""
    for early, late in ("az", "za"):
        apart = call(early, parent=None), in_other_trace(late, start_ms=1006, end_ms=1500)
        assert pairs(*apart) == pairs(*reversed(apart)) == set()
        overlapping = call(early, parent=None), in_other_trace(late, start_ms=1005, end_ms=1500)
        assert len(pairs(*overlapping)) == len(pairs(*reversed(overlapping))) == 1


def test_a_pair_that_may_not_be_one_call_is_none() -> None:
    """The caller compares what is not compared here."""
    a, b = call("a", parent=None), in_other_trace("b")
    assert pairs(a, b, may_be_one=lambda *_: False) == set()


def test_nothing_is_paired_in_a_slot_that_is_known_to_be_crowded() -> None:
    """Nor where one of the two touches it."""
    a, b = call("a", parent=None), in_other_trace("b")
    assert pairs(a, b, shared=frozenset(slot_keys("default", a))) == set()
    assert pairs(a, b, shared=frozenset({1})) != set()
    long = in_other_trace("c", end_ms=SLOT_MS * 3)
    last = frozenset(slot_keys("default", long)[-1:])
    assert pairs(a, long, shared=last) != set()
    other_long = call("d", parent=None, trace=TRACE, end_ms=SLOT_MS * 3)
    assert pairs(other_long, long, shared=last) == set()


def test_a_crowd_of_one_scope_pairs_with_nobody() -> None:
    """One more than the bound: a load test."""
    crowd = [call(f"a{number}", parent=None) for number in range(ALIKE_PER_SLOT_MAX + 1)]
    assert pairs(*crowd, in_other_trace("b")) == set()
    assert len(pairs(*crowd[1:], in_other_trace("b"))) == ALIKE_PER_SLOT_MAX
