"""Why two spans count as one call, in one word; and which groups come of that, in which order."""

from typing import Any

import pytest

from cost_exporter.domain.settling.identity import Identities
from cost_exporter.domain.settling.lineage import Lineage
from cost_exporter.domain.settling.same_call import same_call_evidence, same_call_groups
from cost_exporter.domain.span import Call, SpanKey
from tests.domain.builders import OTHER_TRACE, call, facts, key

INSIDE: dict[str, Any] = {"parent": "a", "scope": "b"}
BESIDE: dict[str, Any] = {"scope": "b"}
CACHED = {"input_tokens": 1350, "output_tokens": 120, "cache_read_tokens": 1300}
UNCACHED = {"input_tokens": 50, "output_tokens": 120}


def evidence(one: Call, other: Call) -> str:
    known = facts(one, other)
    keys: list[SpanKey] = [(each.trace_id, each.span_id) for each in (one, other)]
    return same_call_evidence(known.calls, Lineage(known.calls, known.links), Identities(), *keys)


@pytest.mark.parametrize(
    ("mine", "theirs", "word"),
    [
        ({"call_id": "response:1"}, {**BESIDE, "call_id": "response:1"}, "response_id"),
        ({"call_id": "phone:1"}, {**BESIDE, "call_id": "phone:1"}, "phone_call_id"),
        (
            {"session_id": "s", "session_sequence": 1},
            {**BESIDE, "session_id": "s", "session_sequence": 1},
            "session",
        ),
        ({"call_id": "response:1"}, INSIDE, "nested"),
        ({"call_id": "response:1"}, {**INSIDE, "call_id": "response:2"}, "nested"),
        ({}, {**INSIDE, "call_id": "response:1"}, "nested"),
        ({}, BESIDE, "overlap"),
        ({}, {**BESIDE, "trace": OTHER_TRACE}, "look_alike"),
        ({"quantities": {}}, INSIDE, "usage_lost"),
        ({}, {**INSIDE, "quantities": {}}, "usage_lost"),
        ({"model": "alias"}, {**INSIDE, "is_gateway": True}, "gateway"),
        ({"model": "alias", "is_gateway": True}, INSIDE, "gateway"),
        ({"model": "alias"}, INSIDE, "nested"),
        ({"is_gateway": True}, INSIDE, "nested"),
        (
            {"provider": "aws", "quantities": CACHED},
            {**BESIDE, "provider": "aws", "quantities": UNCACHED},
            "cache_unsaid",
        ),
    ],
)
def test_the_word_for_it(mine: dict[str, Any], theirs: dict[str, Any], word: str) -> None:
    """The first that holds: an id, a gateway's alias, lost usage, cached tokens left out, and then where they are."""
    assert evidence(call("a", **mine), call("b", **theirs)) == word


def groups(*calls: Call) -> list[list[SpanKey]]:
    known = facts(*calls)
    return same_call_groups(known.calls, Lineage(known.calls, known.links), Identities(), "default")


def test_groups_come_in_the_order_of_their_keys() -> None:
    """Each of them too, whatever the order of the spans; one span alone is no group."""
    spans = [
        call("d", scope="b", call_id="response:2"),
        call("a", call_id="response:2"),
        call("c", scope="b", call_id="response:1"),
        call("b", call_id="response:1"),
        call("e", call_id="response:3"),
        call("f", quantities={"input_tokens": 7}),
    ]
    expected = [[key("a"), key("d")], [key("b"), key("c")]]
    assert groups(*spans) == groups(*spans[::-1]) == expected
    assert groups(*spans[-2:]) == groups() == []


def test_spans_with_a_session_are_never_guessed() -> None:
    """One above the other, or side by side."""
    delta: dict[str, Any] = {"session_id": "s"}
    for place in (INSIDE, BESIDE):
        one = call("a", session_sequence=1, **delta)
        assert groups(one, call("b", session_sequence=2, **delta, **place)) == []
        assert groups(one, call("b", **place)) == []


def test_a_pair_overlaps_up_to_its_slack() -> None:
    """A span that began well after the other had ended is another call."""
    assert groups(call("a"), call("b", scope="b", start_ms=1001, end_ms=2000)) == [[key("a"), key("b")]]
    assert groups(call("a"), call("b", scope="b", start_ms=1100, end_ms=2000)) == []


def test_the_closest_of_several_is_the_same_call() -> None:
    """Of two calls of one scope, the one that began and ended when the other scope's did."""
    first, second = call("a", end_ms=900), call("b", start_ms=300, end_ms=1300)
    assert groups(first, second, call("c", scope="b", start_ms=290, end_ms=1310)) == [[key("b"), key("c")]]
    assert groups(first, second, call("c", scope="b", start_ms=10, end_ms=890)) == [[key("a"), key("c")]]
