"""Components: what ties calls together, and that a call is judged by its component as it is among all calls."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal as D

from hypothesis import given, settings
from hypothesis import strategies as st

from cost_exporter.domain.settling.component import LENGTHS_MAX_NS, OVERLAP_SLACK_NS, ties_of
from cost_exporter.domain.settling.lineage import Lineage
from cost_exporter.domain.settling.settle import TraceFacts, settle
from cost_exporter.domain.span import Call, Link, SpanKey
from tests.domain.builders import TRACE, call, facts, price_by_sum
from tests.domain.facts import links, spans

of_one_trace = spans.map(lambda each: replace(each, trace_id=TRACE))


def test_numbers_are_equal_whatever_their_type() -> None:
    """61.5 and 61.50 seconds are one usage, and so are 5 and 5.0 of anything."""
    amounts = [D("61.5"), D("61.50"), D("6.15E1")]
    assert len({ties_of("", call("a", quantities={"audio_seconds": amount})).usage for amount in amounts}) == 1
    assert ties_of("", call("a", quantities={"images": 5})) == ties_of("", call("b", quantities={"images": D("5.0")}))
    assert ties_of("", call("a", quantities={"images": 5})) != ties_of("", call("a", quantities={"images": 6}))


def test_what_ties_a_call() -> None:
    """Its id, its session, its usage, and for Bedrock the input without the cache."""
    plain, named = ties_of("ns", call("a")), ties_of("ns", call("a", call_id="response:1"))
    assert (plain.identity, plain.session, plain.uncached) == (None, None, None)
    assert named.identity not in {None, ties_of("other", call("a", call_id="response:1")).identity}
    assert ties_of("ns", call("a", session_id="s", session_sequence=0)).session is not None
    assert ties_of("ns", call("a", session_id="s")).session is None
    cached = {"input_tokens": 90, "output_tokens": 9, "cache_read_tokens": 40}
    bedrock = [
        call("a", provider="aws", quantities=quantities)
        for quantities in (cached, {"input_tokens": 50, "output_tokens": 9})
    ]
    assert len({ties_of("", each).uncached for each in bedrock}) == 1
    assert len({ties_of("", each).usage for each in bedrock}) == 2


def test_a_class_of_length_bounds_the_length() -> None:
    """What is longer than the bound of a class is in a later one."""
    for place, length_ms in enumerate([each // 1_000_000 for each in LENGTHS_MAX_NS]):
        assert ties_of("", call("a", end_ms=length_ms)).length_class == place
        assert ties_of("", call("a", end_ms=length_ms + 1)).length_class == place + 1


def related(one: Call, other: Call, lineage: Lineage) -> bool:
    """Whether two calls are tied, as the index of long traces finds it."""
    keys = [(each.trace_id, each.span_id) for each in (one, other)]
    if keys[1] in lineage.ancestors(keys[0]) or keys[0] in lineage.ancestors(keys[1]):
        return True
    mine, theirs = ties_of("default", one), ties_of("default", other)
    if mine.identity == theirs.identity is not None or mine.session == theirs.session is not None:
        return True
    overlap = max(one.started_at_unix_ns, other.started_at_unix_ns) <= OVERLAP_SLACK_NS + min(
        one.ended_at_unix_ns, other.ended_at_unix_ns
    )
    is_alike = mine.usage == theirs.usage or mine.uncached == theirs.uncached is not None
    return overlap and is_alike


def components(whole: TraceFacts) -> Iterable[set[SpanKey]]:
    lineage = Lineage(whole.calls, whole.links)
    left = dict(whole.calls)
    while left:
        key, first = left.popitem()
        component, waiting = {key}, [first]
        while waiting:
            one = waiting.pop()
            found = [each for each, other in left.items() if related(one, other, lineage)]
            component |= {*found}
            waiting += [left.pop(each) for each in found]
        yield component


@settings(max_examples=300)
@given(st.lists(st.one_of(of_one_trace, of_one_trace, links), max_size=14))
def test_settling_all_is_settling_each_component(pieces: list[Call | Link]) -> None:
    """The verdict on a call depends on its component, on what is above it and on the root."""
    whole = facts(*pieces)
    lineage = Lineage(whole.calls, whole.links)
    root = lineage.root_key(TRACE)
    alone = {}
    for component in components(whole):
        kept = component | ({root} if root is not None else set())
        while (more := kept | {above for key in kept & whole.calls.keys() for above in lineage.ancestors(key)}) != kept:
            kept = more
        part = replace(whole, calls={key: each for key, each in whole.calls.items() if key in kept})
        records = settle(part, price_by_sum)
        alone |= {key: record for key, record in records.items() if key in component}
    assert alone == settle(whole, price_by_sum)
