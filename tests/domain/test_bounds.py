"""What is still right at a bound and wrong beyond it, and what a key is made of: found by mutating the domain."""

from decimal import Decimal as D
from typing import Any

import pytest

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.quantity import MAX_QUANTITY, InconsistentUsage, disjoint_parts
from cost_exporter.domain.rollup import HourlyKey, WorkflowKey, hourly_key, workflow_key
from cost_exporter.domain.settling.identity import key_name, repeated_ids
from cost_exporter.domain.settling.settle import workflow_of
from cost_exporter.domain.span import Call
from tests.domain.builders import T0_UNIX_NS, TRACE, call, facts, key, link, settled

NS_PER_HOUR = 3_600 * 10**9


def test_an_output_may_be_reasoning_alone() -> None:
    """Up to all of it; one token more is impossible."""
    assert disjoint_parts({"output_tokens": 9, "reasoning_tokens": 9})["reasoning_tokens"] == 9
    with pytest.raises(InconsistentUsage, match=r"^reasoning_tokens exceeds output_tokens$"):
        disjoint_parts({"output_tokens": 9, "reasoning_tokens": 10})


def test_a_measure_may_be_nothing_and_the_greatest() -> None:
    """Decimals too, which are looked at more closely than whole numbers."""
    for seconds in (D(0), D(MAX_QUANTITY)):
        assert disjoint_parts({"audio_seconds": seconds}) == {"audio_seconds": seconds}
    with pytest.raises(InconsistentUsage):
        disjoint_parts({"audio_seconds": D(MAX_QUANTITY) + 1})


def test_the_parts_of_a_cache_write_are_held_against_it() -> None:
    """The message is part of the record."""
    with pytest.raises(InconsistentUsage, match=r"^the 5-minute and 1-hour parts exceed cache_write_tokens$"):
        disjoint_parts({"cache_write_tokens": 3, "cache_write_5m_tokens": 2, "cache_write_1h_tokens": 2})


def test_where_a_record_counts() -> None:
    """Every field of both keys, and the whole hour of the start."""
    words = Attribution(tenant="acme", category="bot")
    record = settled(call("a", attribution=words, start_ms=7))[key("a")]
    assert workflow_key(record) == WorkflowKey("acme", TRACE, "bot", "llm")
    hour = T0_UNIX_NS // NS_PER_HOUR
    assert hourly_key(record) == HourlyKey("acme", hour, "bot", "openai", "gpt-4o-mini", "chat")


@pytest.mark.parametrize(
    ("words", "revenue"),
    [
        ({"revenue_amount": "0"}, D(0)),
        ({"revenue_amount": "0.50", "revenue_currency": "usd"}, D("0.50")),
        ({"revenue_amount": "999999999999.99"}, D("999999999999.99")),
        ({"revenue_amount": "1000000000000"}, None),
        ({"revenue_amount": "-0.01"}, None),
        ({"revenue_amount": "5", "revenue_currency": "EUR"}, None),
    ],
)
def test_which_revenue_can_be_kept(words: dict[str, Any], revenue: D | None) -> None:
    """From nothing on, below a million million, in dollars."""
    root = link("root", parent=None, attribution=Attribution(**words))
    assert workflow_of(TRACE, facts(root)).revenue_usd == revenue


def test_an_id_is_repeated_within_one_scope() -> None:
    """Ten calls one after the other: five of each of two instrumentations are not too many, nine of one are."""

    def ten(*, of_one_scope: int) -> list[Call]:
        return [
            call(
                str(number),
                scope="one" if number < of_one_scope else "two",
                start_ms=2000 * number,
                end_ms=2000 * number + 1000,
                call_id="response:1",
            )
            for number in range(10)
        ]

    assert repeated_ids(ten(of_one_scope=5)) == set()
    assert repeated_ids(ten(of_one_scope=8)) == set()
    assert repeated_ids(ten(of_one_scope=9)) == {"response:1"}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"session_id": "s", "session_sequence": 0}, "session:s"),
        ({"session_id": "s"}, "call:response:1"),
        ({"session_sequence": 0}, "call:response:1"),
        ({}, "call:response:1"),
    ],
)
def test_by_what_name_spans_find_each_other(fields: dict[str, Any], name: str) -> None:
    """A session needs its id and the place of the delta in it; else the id of the call counts."""
    assert key_name(call("a", call_id="response:1", **fields)) == name
