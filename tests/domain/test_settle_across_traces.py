"""One call in two traces without an id: matched by model, usage, service and time, scope against scope."""

from dataclasses import replace
from typing import Any

import pytest

from cost_exporter.domain.settling.look_alike import ALIKE_PER_SLOT_MAX, LookAlike, are_alike, slot_keys
from cost_exporter.domain.settling.settle import settle
from cost_exporter.domain.span import Call, EmitterRank
from tests.domain.builders import billed, call, facts, key, price_by_sum, settled, span_id

SIXTEEN_SECONDS_MS = 16_000
T0_IN_SLOT_MS = 1_790_000_000_000 % SIXTEEN_SECONDS_MS


def root(name: str, **fields: Any) -> Call:
    """The root of a trace of its own, by the SDK."""
    defaults: dict[str, Any] = {
        "scope": "sdk",
        "emitter_rank": EmitterRank.NATIVE,
        "parent": None,
        "trace": name.encode() * 16,
    }
    return call(name, **defaults | fields)


def framework(name: str, **fields: Any) -> Call:
    """A framework's span within its own trace."""
    defaults: dict[str, Any] = {
        "scope": "framework",
        "emitter_rank": EmitterRank.FRAMEWORK,
        "parent": "graph",
        "trace": b"f" * 16,
    }
    return call(name, **defaults | fields)


def test_a_frameworks_span_and_the_sdks_root_are_one_call() -> None:
    """The SDK's is billed; the other says what the decision rests on, and in which trace the billed span is."""
    records = settled(framework("f", start_ms=-20, end_ms=1050), root("s"))
    duplicate = records[key("f", b"f" * 16)]
    assert (duplicate.duplicate_of, duplicate.duplicate_trace_id) == (span_id("s"), b"s" * 16)
    assert duplicate.issues == ("same_call:look_alike",)
    assert records[key("s", b"s" * 16)].status == "priced"


def test_two_roots_are_one_call_too() -> None:
    """A framework that is called outside of any span: both begin a trace."""
    assert billed(framework("f", parent=None), root("s")) == {span_id("s")}


@pytest.mark.parametrize(
    "different",
    [
        {"scope": "framework"},
        {"model": "gpt-4o"},
        {"provider": "azure", "model": "gpt-4o"},
        {"operation": "embeddings"},
        {"service_name": "other"},
        {"start_ms": 1006, "end_ms": 2000},
        {"quantities": {"input_tokens": 1201, "output_tokens": 345}},
        {"quantities": {"input_tokens": 1200, "output_tokens": 348}},
        {"quantities": {"input_tokens": 1200, "output_tokens": 345, "reasoning_tokens": 6}},
        {"call_id": "response:2"},
        {"parent": "elsewhere"},
        {"session_id": "s", "session_sequence": 1},
        {"is_billable": False, "parent": None},
    ],
)
def test_what_differs_is_never_joined(different: dict[str, Any]) -> None:
    """Another scope's span in another trace that is not the same in everything that both say."""
    usage = {"input_tokens": 1200, "output_tokens": 345, "reasoning_tokens": 5}
    other = framework("f", call_id="response:1", quantities=usage)
    assert "look_alike" not in str([record.issues for record in settled(other, root("s", **different)).values()])


def test_two_spans_of_which_none_is_a_root_are_two_calls() -> None:
    """A call whose span has a parent was made where a span was current: it is in the trace that it belongs to."""
    assert len(billed(framework("f"), root("s", parent="p", emitter_rank=EmitterRank.FRAMEWORK))) == 2


def test_the_time_may_just_touch() -> None:
    """Five milliseconds are the clock's."""
    assert len(billed(framework("f"), root("s", start_ms=1005, end_ms=2000))) == 1
    assert len(billed(framework("f"), root("s", start_ms=1006, end_ms=2000))) == 2


@pytest.mark.parametrize(("tokens", "calls"), [(50, 1), (49, 2)])
def test_small_calls_are_equal_by_chance(tokens: int, calls: int) -> None:
    """Fewer than fifty tokens prove nothing."""
    usage = {"input_tokens": tokens - 9, "output_tokens": 9}
    assert len(billed(framework("f", quantities=usage), root("s", quantities=usage))) == calls


def pipecat(name: str, **fields: Any) -> Call:
    """A framework's span that was never the current one."""
    return framework(name, **{"scope": "pipecat", "is_detached": True} | fields)


@pytest.mark.parametrize("usage", [{"input_tokens": 9, "output_tokens": 2}, {"input_tokens": 1}, {}])
def test_small_and_unknown_calls_of_a_detached_framework_are_the_sdks(usage: dict[str, int]) -> None:
    """Whatever Pipecat calls begins a trace of its own, so the one that overlaps is its call."""
    assert len(billed(pipecat("f", quantities=usage), root("s", quantities=usage))) == 1
    assert len(billed(pipecat("f", quantities=usage), root("s", quantities=usage, start_ms=1010, end_ms=2000))) == 2
    assert len(billed(pipecat("f", quantities=usage), root("s", quantities=usage), root("t", quantities=usage))) == 2


@pytest.mark.parametrize(
    "different",
    [
        {"quantities": {"input_tokens": 9, "output_tokens": 3}},
        {"quantities": {"input_tokens": 8, "output_tokens": 2}},
        {"quantities": {}},
        {"quantities": {"input_tokens": 0, "output_tokens": 0}},
    ],
)
def test_a_small_call_of_another_size_is_another(different: dict[str, Any]) -> None:
    """To the token: of small calls nothing else differs."""
    small = {"input_tokens": 9, "output_tokens": 2}
    assert len(billed(pipecat("f", quantities=small), root("s", **different))) == 2
    assert len(billed(framework("f", quantities=small), root("s", quantities=small))) == 2


def test_a_refused_call_is_not_looked_for() -> None:
    """It costs nothing, and says nothing of a call that is unknown."""
    unknown = root("s", quantities={})
    refused = replace(unknown, usage=replace(unknown.usage, is_refused=True))
    assert len(billed(pipecat("f", quantities={}), refused)) == 2


def test_embeddings_are_never_joined() -> None:
    """Equal sizes are the rule among them."""
    usage = {"input_tokens": 900}
    spans = (
        framework("f", operation="embeddings", quantities=usage),
        root("s", operation="embeddings", quantities=usage),
    )
    assert len(billed(*spans)) == 2


def test_emitters_may_differ_in_the_kind_of_chat_and_the_models_date() -> None:
    """As within a trace."""
    other = root("s", operation="generate_content", model="gpt-4o-mini-2024-07-18")
    assert billed(framework("f"), other) == {span_id("s")}


@pytest.mark.parametrize("count", [2, 7, 20])
def test_a_run_has_as_many_calls_as_its_greatest_scope(count: int) -> None:
    """Parallel calls of one size, each told twice, one of them by the framework alone."""
    spans = [
        half(
            f"{letter}{number}",
            start_ms=10 * number,
            end_ms=5000 + 10 * number,
            trace=letter.encode() + bytes([number]) * 15,
        )
        for number in range(count)
        for letter, half in (("f", framework), ("s", root))
    ]
    assert len(billed(*spans)) == count
    assert len(billed(*spans, framework("extra", start_ms=7, end_ms=900))) == count + 1


def test_the_framework_alone_is_matched_with_what_overlaps() -> None:
    """In a run each call goes to one that it overlaps, where there is one."""
    early = framework("f1", start_ms=0, end_ms=1000)
    late = framework("f2", start_ms=900, end_ms=3000)
    records = settled(early, late, root("s", start_ms=950, end_ms=2900), root("t", start_ms=2000, end_ms=2800))
    assert len([record for record in records.values() if record.status == "priced"]) == 2


def test_a_third_scope_is_matched_with_what_it_overlaps() -> None:
    """Not with the first that is free: the framework's later call is the one that the SDK made then."""
    first, second = framework("f1", end_ms=10), framework("f2", start_ms=20, end_ms=1000)
    records = settled(
        first,
        second,
        root("b", scope="b", start_ms=500, end_ms=600),
        root("c", scope="c", start_ms=6, end_ms=25),
    )
    assert records[key("f2", b"f" * 16)].duplicate_of == span_id("b")
    assert records[key("f1", b"f" * 16)].duplicate_of == span_id("c")


def test_of_a_chain_the_greatest_scope_counts() -> None:
    """Two of the framework's, one after the other, both overlapped by one of the SDK's: two calls, not one."""
    first, second = framework("f1", end_ms=1000), framework("f2", start_ms=1010, end_ms=2000)
    assert len(billed(first, second, root("s", start_ms=500, end_ms=1500))) == 2


def test_ids_of_the_sdk_keep_calls_apart_that_the_framework_does_not_name() -> None:
    """Two answers with their ids, and two spans without: two calls."""
    spans = [root("s", call_id="response:1"), root("t", call_id="response:2"), framework("f1"), framework("f2")]
    assert billed(*spans) == {span_id("s"), span_id("t")}


def test_ids_that_both_have_decide_alone() -> None:
    """Equal ids across traces are one call whatever else they say; then nothing is left to be matched."""
    spans = [
        root("s", call_id="response:1"),
        root("t", call_id="response:2"),
        framework("f1", call_id="response:2"),
        framework("f2", call_id="response:1"),
    ]
    records = settled(*spans)
    assert records[key("f1", b"f" * 16)].issues == ("same_call:response_id",)
    assert billed(*spans) == {span_id("s"), span_id("t")}


def test_a_call_told_twice_in_one_trace_is_matched_as_one() -> None:
    """The SDK's own span below another instrumentation's, both in a trace that is not the framework's."""
    outer = root("o", scope="traceloop", emitter_rank=EmitterRank.TRACELOOP)
    inner = call("i", parent="o", trace=b"o" * 16, start_ms=1, scope="sdk", emitter_rank=EmitterRank.NATIVE)
    assert billed(framework("f"), outer, inner) == {span_id("i")}


def test_three_scopes_tell_of_one_call() -> None:
    """Each in a trace of its own."""
    assert len(billed(framework("f"), root("s"), root("t", scope="third"))) == 1


def test_a_crowd_proves_nothing() -> None:
    """More alike of one scope in one slot of time than anybody makes: nothing is matched, for the whole set."""
    halves = [framework("f", start_ms=0), root("s", start_ms=0)]
    crowd = [root(chr(1 + number), start_ms=1200, end_ms=1300) for number in range(ALIKE_PER_SLOT_MAX - 1)]
    assert len(billed(*halves, *crowd)) == 1 + len(crowd)
    one_more = root("z", start_ms=1200, end_ms=1300)
    assert len(billed(*halves, *crowd, one_more)) == 2 + len(crowd) + 1
    later = root("z", start_ms=2 * SIXTEEN_SECONDS_MS, end_ms=2 * SIXTEEN_SECONDS_MS + 1)
    assert len(billed(*halves, *crowd, later)) == 1 + len(crowd) + 1


def test_a_slot_that_is_known_to_be_crowded_proves_nothing() -> None:
    """The ledger says so where it does not load all of them."""
    halves = [framework("f"), root("s")]
    known = facts(*halves)
    known.shared_keys = frozenset(slot_keys("default", halves[0])[:1])
    assert {record.status for record in settle(known, price_by_sum).values()} == {"priced"}
    known.shared_keys = frozenset(slot_keys("elsewhere", halves[0]))
    assert {record.status for record in settle(known, price_by_sum).values()} == {"priced", "duplicate"}


def test_overlapping_calls_share_a_key() -> None:
    """Whichever slots of time they touch; the keys of one namespace, service or size are no others'."""
    short = root("s", start_ms=SIXTEEN_SECONDS_MS - T0_IN_SLOT_MS - 2, end_ms=SIXTEEN_SECONDS_MS - T0_IN_SLOT_MS - 1)
    after = framework("f", start_ms=SIXTEEN_SECONDS_MS - T0_IN_SLOT_MS, end_ms=SIXTEEN_SECONDS_MS)
    assert set(slot_keys("n", short)) & set(slot_keys("n", after))
    assert len(billed(short, after)) == 1
    assert not set(slot_keys("n", short)) & set(slot_keys("m", short))
    assert not set(slot_keys("n", root("s"))) & set(slot_keys("n", root("s", service_name="other")))
    assert all(0 < each < 2**63 for each in slot_keys("n", short))
    assert slot_keys("n", root("s")) == KEYS


KEYS = [3843995754132417445]


@pytest.mark.parametrize(
    "fields",
    [
        {"parent": "p"},
        {"operation": "embeddings"},
        {"model": ""},
        {"session_id": "s", "session_sequence": 0},
        {"quantities": {"output_tokens": 900}},
        {"quantities": {"input_tokens": 0}},
        {"end_ms": 3_600_000},
        {"is_billable": False},
    ],
)
def test_most_calls_have_no_key(fields: dict[str, Any]) -> None:
    """Whatever cannot be matched costs the ledger nothing."""
    assert slot_keys("n", root("s", **fields)) == []
    assert slot_keys("n", root("s")) != []


def test_an_output_that_one_does_not_report_is_no_contradiction() -> None:
    """A stream that was left early: the framework counted, the SDK never learned it."""
    one = LookAlike("a", 0, 10, None, "", pairs_with_any=True)
    assert are_alike(one, one._replace(scope="b", output_tokens=7))
    assert are_alike(one._replace(output_tokens=9), one._replace(scope="b", output_tokens=7))
    assert not are_alike(one._replace(output_tokens=10), one._replace(scope="b", output_tokens=7))
