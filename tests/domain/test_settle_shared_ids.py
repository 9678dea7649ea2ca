"""An id that one scope states for more calls than one can have identifies nothing."""

from typing import Any

import pytest

from cost_exporter.domain.settling.identity import (
    SPANS_PER_ID_MAX,
    Identities,
    call_key,
    key_name,
    repeated_ids,
)
from cost_exporter.domain.settling.settle import settle
from cost_exporter.domain.span import Call
from tests.domain.builders import billed, call, facts, price_by_sum, span_id

BOUND = 8


def one_after_the_other(count: int, **fields: Any) -> list[Call]:
    """So many calls of one id, each as the one before ends."""
    stated: dict[str, Any] = {"call_id": "response:same"} | fields
    return [call(str(number), start_ms=1000 * number, end_ms=1000 * number + 1000, **stated) for number in range(count)]


@pytest.mark.parametrize(("count", "calls"), [(2, 1), (BOUND, 1), (BOUND + 1, BOUND + 1), (33, 33)])
def test_the_ninth_call_of_one_id_makes_nine_calls(count: int, calls: int) -> None:
    """A mock gives all its answers one id; retries and polls of one call are never so many."""
    assert len(billed(*one_after_the_other(count))) == calls


def test_calls_at_one_time_are_not_counted_one_by_one() -> None:
    """Spans that overlap may all be of one call; of those that take no time, the ones of one instant."""
    assert len(billed(*[call(str(number), start_ms=number, call_id="response:1") for number in range(33)])) == 1
    instant = [call(str(number), start_ms=0, end_ms=0, call_id="response:1") for number in range(33)]
    assert len(billed(*instant)) == 1


def test_the_most_calls_that_do_not_overlap_are_counted() -> None:
    """One long span over all of them hides none."""
    long = call("long", start_ms=0, end_ms=100_000, call_id="response:same")
    assert repeated_ids([long, *one_after_the_other(BOUND)]) == set()
    assert repeated_ids([long, *one_after_the_other(BOUND + 1)]) == {"response:same"}


def test_scopes_are_counted_apart() -> None:
    """Two instrumentations of eight attempts state sixteen spans of one call."""
    other = [call(f"o{number}", start_ms=1000 * number, scope="b", call_id="response:same") for number in range(BOUND)]
    assert repeated_ids([*one_after_the_other(BOUND), *other]) == set()


def test_an_id_on_more_spans_than_can_be_settled_together_is_none() -> None:
    """However they overlap."""
    calls = [call(str(number), call_id="response:1") for number in range(SPANS_PER_ID_MAX + 1)]
    assert repeated_ids(calls[:-1]) == set()
    assert repeated_ids(calls) == {"response:1"}


@pytest.mark.parametrize(
    "fields",
    [
        {"call_id": "phone:CA1"},
        {"quantities": {}},
        {"session_id": "s", "session_sequence": 1},
        {"call_id": "response:chatcmpl-42"},
        {"call_id": ""},
    ],
)
def test_what_is_not_counted(fields: dict[str, Any]) -> None:
    """Phone calls and answers are polled for; a session's deltas and ids drawn from few have rules of their own."""
    assert repeated_ids(one_after_the_other(33, **fields)) == set()


def test_an_id_shared_elsewhere_identifies_nothing_here() -> None:
    """The ledger knows of more calls than it loads."""
    calls = one_after_the_other(2)
    shared = frozenset({call_key("default", "call:response:same"), 7})
    records = settle(facts(*calls), price_by_sum)
    assert [record.status for record in records.values()].count("duplicate") == 1
    known = facts(*calls)
    known.shared_keys = shared
    assert {record.status for record in settle(known, price_by_sum).values()} == {"priced"}
    elsewhere = facts(*calls, namespace="other")
    elsewhere.shared_keys = shared
    assert [record.status for record in settle(elsewhere, price_by_sum).values()].count("duplicate") == 1


def test_a_shared_id_still_tells_calls_apart() -> None:
    """Two tellings of one call have its id both: equal ids say nothing, unequal ones that these are two."""
    calls = one_after_the_other(BOUND + 1)
    same = call("x", scope="b", call_id="response:same")
    other = call("y", scope="b", call_id="response:other")
    assert span_id("0") not in billed(*calls, same) or span_id("x") not in billed(*calls, same)
    assert {span_id("0"), span_id("y")} <= billed(*calls, other)


def test_who_a_call_is() -> None:
    """A delta is its session and number, another call its id, if that is one."""
    identities = Identities({"response:same"})
    assert identities.of(call("a", call_id="response:1")) == "response:1"
    assert identities.of(call("a", call_id="response:same")) is None
    assert identities.of(call("a", call_id="response:1", session_id="s", session_sequence=3)) == ("s", 3)
    assert identities.of(call("a", call_id="phone:1", session_id="s")) == "phone:1"


def test_keys_are_stable() -> None:
    """They are stored: another key for the same name would part what was joined."""
    assert key_name(call("a", call_id="response:1")) == "call:response:1"
    assert key_name(call("a", call_id="response:1", session_id="s", session_sequence=0)) == "session:s"
    assert key_name(call("a")) == key_name(call("a", call_id="response:chatcmpl-42")) == ""
    assert call_key("default", "call:response:1") == KEY
    assert call_key("default", "call:\ud800") != KEY


KEY = -4246944488929109866
