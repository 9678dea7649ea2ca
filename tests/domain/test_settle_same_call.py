"""Which spans tell of one call: each provider call is billed once, on the span that tells most."""

from decimal import Decimal as D

import pytest

from cost_exporter.domain.settling.lineage import CALLS_ABOVE_MAX, Lineage
from cost_exporter.domain.settling.same_call import OVERLAPPING_MAX
from cost_exporter.domain.span import Call, EmitterRank
from tests.domain.builders import OTHER_TRACE, TRACE, billed, call, facts, key, link, settled, span_id


def test_equal_response_ids_are_one_call_and_the_richer_is_billed() -> None:
    """Two emitters tell of one response: the native one is billed, the other kept as its duplicate."""
    poor = call("poor", emitter_rank=EmitterRank.TRACELOOP, call_id="response:1")
    rich = call("rich", emitter_rank=EmitterRank.NATIVE, call_id="response:1", scope="scope.b", start_ms=1)
    records = settled(poor, rich)
    assert records[key("rich")].status == "priced"
    assert records[key("poor")].status == "duplicate"
    assert records[key("poor")].duplicate_of == span_id("rich")
    assert records[key("poor")].cost_usd is None


def test_one_call_told_in_two_traces_is_billed_once() -> None:
    """A gateway that starts a trace of its own: the equal response id says that it is the same call."""
    records = settled(call("a", call_id="response:1"), call("b", call_id="response:1", trace=OTHER_TRACE))
    duplicate = next(record for record in records.values() if record.status == "duplicate")
    assert duplicate.duplicate_trace_id in {TRACE, OTHER_TRACE}
    assert len([record for record in records.values() if record.status == "priced"]) == 1


def test_different_response_ids_are_different_calls() -> None:
    """Equal usage and lineage do not make one call of two responses."""
    one = call("one", call_id="response:1")
    assert billed(one, call("two", parent="one", scope="scope.b", call_id="response:2")) == {
        span_id("one"),
        span_id("two"),
    }


def test_equal_usage_below_one_another_is_one_call() -> None:
    """Without ids: an ancestor with the same model and usage tells of the same call."""
    outer = call("outer", model="gpt-4o-mini-2024-07-18")
    assert billed(outer, link("http", parent="outer"), call("inner", parent="http", start_ms=1)) == {span_id("inner")}


def test_output_off_by_one_is_still_one_call() -> None:
    """An emitter that adds the start of a stream to its end is off by one token."""
    outer = call("outer", quantities={"input_tokens": 1350, "output_tokens": 121})
    inner = call(
        "inner",
        parent="outer",
        quantities={"input_tokens": 1350, "output_tokens": 120},
        emitter_rank=EmitterRank.NATIVE,
    )
    assert billed(outer, inner) == {span_id("inner")}


@pytest.mark.parametrize(
    "different",
    [
        {"model": "gpt-4o"},
        {"operation": "embeddings"},
        {"quantities": {"input_tokens": 1200, "output_tokens": 348}},
        {"quantities": {"input_tokens": 1201, "output_tokens": 345}},
    ],
)
def test_a_child_that_differs_is_a_call_of_its_own(different: dict[str, object]) -> None:
    """Another model, operation or usage below a call is another call."""
    inner = call("inner", parent="outer", scope="scope.b", **different)  # pyright: ignore[reportArgumentType]
    assert len(billed(call("outer"), inner)) == 2


def test_siblings_of_different_scopes_that_overlap_are_one_call() -> None:
    """Two instrumentations side by side, same time, same usage."""
    assert billed(call("a"), call("b", scope="scope.b", start_ms=2, emitter_rank=EmitterRank.GENAI)) == {span_id("b")}


def test_emitters_may_name_the_operation_differently() -> None:
    """What one calls a chat another one calls generate_content."""
    outer = call("outer", operation="generate_content")
    assert billed(outer, call("inner", parent="outer", start_ms=1)) == {span_id("inner")}


def test_siblings_that_do_not_overlap_are_two_calls() -> None:
    """The same usage a second later is another call."""
    assert len(billed(call("a"), call("b", scope="scope.b", start_ms=2000, end_ms=3000))) == 2


def test_overlapping_siblings_whose_outputs_differ_are_two_calls() -> None:
    """Side by side with another output: two calls."""
    other = call("b", scope="scope.b", quantities={"input_tokens": 1200, "output_tokens": 99})
    assert len(billed(call("a"), other)) == 2


def test_parallel_identical_calls_of_one_scope_stay_two() -> None:
    """Two genuinely parallel identical calls are both billed."""
    assert len(billed(call("a"), call("b"))) == 2


def test_two_parallel_calls_told_by_two_scopes_each_are_two_calls() -> None:
    """Guesses pair spans one to one: four spans of two scopes are two calls."""
    spans = [
        call("a1", start_ms=0, end_ms=1000),
        call("a2", start_ms=10, end_ms=1010),
        call("b1", scope="scope.b", start_ms=1, end_ms=999, emitter_rank=EmitterRank.GENAI),
        call("b2", scope="scope.b", start_ms=11, end_ms=1009, emitter_rank=EmitterRank.GENAI),
    ]
    records = settled(*spans)
    assert billed(*spans) == {span_id("b1"), span_id("b2")}
    assert records[key("a1")].duplicate_of == span_id("b1")


def test_a_span_that_lost_the_usage_is_a_duplicate_of_the_one_below_that_has_it() -> None:
    """A stream told by two emitters, one of which lost the usage, is one call."""
    outer = call("outer", quantities={})
    assert billed(outer, call("inner", parent="outer", scope="scope.b")) == {span_id("inner")}
    assert len(billed(outer, call("inner", parent="outer"))) == 2


@pytest.mark.parametrize("has_ids", [True, False])
def test_a_crowd_of_identical_calls_told_by_two_scopes_stays_as_many(has_ids: bool) -> None:
    """Many at once, more than a span is compared with: each is told twice and billed once."""
    count = 3 * OVERLAPPING_MAX
    ids = [f"response:{number}" if has_ids else "" for number in range(count)]
    spans = [
        call(f"{scope}{number}", scope=scope, start_ms=number, end_ms=9000, call_id=ids[number])
        for scope in "ab"
        for number in range(count)
    ]
    assert len(billed(*spans)) == count


def test_a_span_is_compared_with_so_many_calls_above_it() -> None:
    """A chain of calls deeper than anybody has is cut: the work stays bounded, and it still is one call."""
    chain = [call("0", parent=None)]
    chain += [call(f"{each}", parent=f"{each - 1}", scope=f"s{each}") for each in range(1, CALLS_ABOVE_MAX + 9)]
    lineage = Lineage(facts(*chain).calls, {})
    above = lineage.calls_above(key(f"{CALLS_ABOVE_MAX + 8}"))
    assert above == tuple(key(f"{each}") for each in range(CALLS_ABOVE_MAX + 7, 7, -1))
    assert len(billed(*chain)) == 1


@pytest.mark.parametrize("says_little", [{"quantities": {}}, {"quantities": {}, "model": ""}])
def test_a_span_that_lost_the_usage_never_makes_one_call_of_two(says_little: dict[str, object]) -> None:
    """Two calls by two SDKs below a span that says little of either: both are billed, whichever is closer in time."""
    outer = call("outer", **says_little)  # pyright: ignore[reportArgumentType]
    first = call("first", parent="outer", scope="sdk.a", quantities={"input_tokens": 110})
    second = call("second", parent="outer", scope="sdk.b", quantities={"input_tokens": 120}, start_ms=500)
    assert billed(outer, first, second) == {span_id("first"), span_id("second")}


def test_two_calls_one_after_the_other_stay_two_below_a_span_like_both() -> None:
    """Equal usage, two SDKs, no overlap: the span above both is a telling of one of them, and joins nothing."""
    outer = call("outer", end_ms=2000)
    first = call("first", parent="outer", scope="sdk.a", end_ms=900)
    second = call("second", parent="outer", scope="sdk.b", start_ms=1000, end_ms=2000)
    assert billed(outer, first, second) == {span_id("first"), span_id("second")}


def test_a_retried_call_is_billed_once() -> None:
    """One span around all attempts, one an attempt: the one that was answered is the call, however short it was."""
    outer = call("outer")
    refused = call("refused", parent="outer", scope="sdk", end_ms=950, quantities={}, has_failed=True)
    answered = call("answered", parent="outer", scope="sdk", start_ms=950)
    records = settled(outer, refused, answered)
    assert records[key("outer")].duplicate_of == span_id("answered")
    assert (records[key("refused")].status, records[key("answered")].status) == ("no_usage", "priced")


def test_parallel_identical_calls_are_told_apart_by_lineage() -> None:
    """Each of three calls at once is told by a span and one below it: these two belong together."""
    names = [("x", "n"), ("z", "l"), ("y", "m")]
    outer = [call(above) for above, _ in names]
    inner = [call(below, parent=above, scope="sdk", emitter_rank=EmitterRank.NATIVE) for above, below in names]
    records = settled(*outer, *inner)
    assert [records[key(above)].duplicate_of for above, _ in names] == [span_id(below) for _, below in names]


@pytest.mark.parametrize("drawn", ["response:chatcmpl-42", "response:cmpl-7", "response:resp_4711"])
def test_an_id_drawn_from_few_makes_no_two_calls_one(drawn: str) -> None:
    """Ollama has 999 ids for all its answers: equal ones alone say nothing, also of calls in other traces."""
    one = call("one", call_id=drawn)
    other = call("other", call_id=drawn, start_ms=5000, end_ms=6000, quantities={"input_tokens": 7})
    elsewhere = call("elsewhere", trace=OTHER_TRACE, call_id=drawn)
    assert len(billed(one, other, elsewhere)) == len((one, other, elsewhere))


def test_an_id_drawn_from_few_still_tells_calls_apart() -> None:
    """Two tellings of an answer have its id both, so unequal ids are two answers; equal ones are one if all else is."""
    drawn = [call(name, scope=name, call_id=f"response:chatcmpl-{number}") for name, number in (("a", 1), ("b", 2))]
    assert len(billed(*drawn)) == len(drawn)
    assert len(billed(*[call(name, scope=name, call_id="response:chatcmpl-1") for name in "ab"])) == 1


def test_spans_of_one_id_may_say_different_things_of_it() -> None:
    """A third span without the id that is like one of two with it is their call as well."""
    one = call("one", call_id="response:1")
    other = call("other", scope="b", call_id="response:1", quantities={"input_tokens": 7})
    assert len(billed(one, other, call("third", scope="c"))) == 1


def test_deltas_of_one_session_are_never_duplicates_of_one_another() -> None:
    """Same session, same response id, same seconds: (session, sequence) tells the deltas apart."""
    deltas = [
        call(
            name,
            operation="speech_to_text",
            quantities={"audio_seconds": D(60)},
            session_id="s",
            session_sequence=i,
            call_id="response:s",
            scope=f"scope.{i}",
            parent="root" if i == 0 else "0",
        )
        for i, name in enumerate("012")
    ]
    assert len(billed(*deltas)) == 3


def test_the_same_delta_told_twice_is_billed_once() -> None:
    """Equal (session, sequence) is one delta."""
    one = call("one", quantities={"audio_seconds": D(60)}, session_id="s", session_sequence=0)
    two = call(
        "two", quantities={"audio_seconds": D(60)}, session_id="s", session_sequence=0, emitter_rank=EmitterRank.NATIVE
    )
    assert billed(one, two) == {span_id("two")}


def test_a_session_below_a_span_of_equal_usage_is_billed_beside_it() -> None:
    """A delta is known by its session; equal usage above it proves nothing."""
    delta = call("delta", parent="outer", scope="scope.b", session_id="s", session_sequence=0)
    assert len(billed(call("outer"), delta)) == 2


def test_a_span_below_a_delta_is_a_call_of_its_own() -> None:
    """A delta is not compared with the span below it, even under another scope's name."""
    outer = call("outer", session_id="s", session_sequence=1)
    assert len(billed(outer, call("inner", parent="outer", scope="scope.b"))) == 2


def test_an_estimate_yields_to_a_meter_reading() -> None:
    """Between two tellers of a call, one of which guessed, the other is billed."""
    guess = call("guess", is_estimated=True, emitter_rank=EmitterRank.NATIVE, call_id="response:1")
    assert billed(guess, call("real", call_id="response:1")) == {span_id("real")}


BEDROCK = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
WITH_CACHE = {"input_tokens": 1350, "output_tokens": 120, "cache_read_tokens": 1000, "cache_write_tokens": 300}
WITHOUT_CACHE = {"input_tokens": 1350 - 1000 - 300, "output_tokens": 120}


def at_bedrock(name: str, **fields: object) -> Call:
    return call(name, **{"provider": "aws", "model": BEDROCK, "scope": name, "quantities": WITH_CACHE} | fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("parent", ["whole", "root"])
@pytest.mark.parametrize("model", ["anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"])
def test_bedrocks_names_of_a_model_are_one(parent: str, model: str) -> None:
    """With and without region, vendor and version: the same call, above one another or side by side."""
    whole = at_bedrock("whole")
    assert billed(whole, at_bedrock("other", parent=parent, model=model, start_ms=1)) == {span_id("other")}


@pytest.mark.parametrize("parent", ["whole", "root"])
@pytest.mark.parametrize("emitter_rank", [EmitterRank.TRACELOOP, EmitterRank.NATIVE])
def test_an_input_without_its_cached_tokens_is_the_same_call_and_the_whole_one_is_billed(
    parent: str, emitter_rank: EmitterRank
) -> None:
    """Of InvokeModel botocore tells 50 of 1350 tokens and nothing of the cache, however good it is else."""
    whole = at_bedrock("whole", emitter_rank=EmitterRank.TRACELOOP)
    part = at_bedrock("part", parent=parent, start_ms=1, quantities=WITHOUT_CACHE, emitter_rank=emitter_rank)
    records = settled(whole, part)
    assert (records[key("part")].duplicate_of, records[key("part")].issues) == (
        span_id("whole"),
        ("same_call:cache_unsaid",),
    )
    assert records[key("whole")].status == "priced"


@pytest.mark.parametrize(
    "different",
    [
        {"quantities": WITHOUT_CACHE | {"input_tokens": 51}},
        {"quantities": WITHOUT_CACHE | {"output_tokens": 121}},
        {"quantities": WITHOUT_CACHE | {"cache_read_tokens": 1}},
        {"quantities": {"input_tokens": 50}},
        {"quantities": {"output_tokens": 120}},
        {"model": "anthropic.claude-opus-4-5-20251101-v1:0"},
        {"provider": "anthropic", "model": "claude-sonnet-4-5-20250929"},
        {"provider": "openai"},
        {"operation": "embeddings"},
        {"scope": "whole"},
        {"start_ms": 1010, "end_ms": 2000},
    ],
)
def test_an_input_that_is_not_the_rest_of_the_other_is_another_call(different: dict[str, object]) -> None:
    """Only Bedrock's counts, of another scope, at the same time, with the very same output, are taken for the rest."""
    part: dict[str, object] = {"quantities": WITHOUT_CACHE} | different
    assert len(billed(at_bedrock("whole"), at_bedrock("part", **part))) == 2


@pytest.mark.parametrize("parent", ["whole", "root"])
@pytest.mark.parametrize("both", [{"provider": "anthropic", "model": "claude-opus-5"}, {"scope": "one"}])
def test_only_of_bedrock_and_of_two_scopes_is_an_input_taken_for_the_rest(both: dict[str, object], parent: str) -> None:
    """Other vendors' counts are whole, and one instrumentation tells each call alike: these are two calls."""
    part = at_bedrock("part", parent=parent, quantities=WITHOUT_CACHE, **both)
    assert len(billed(at_bedrock("whole", **both), part)) == 2


def test_each_of_two_calls_without_its_cached_tokens_finds_its_own() -> None:
    """Two at once that differ by what was cached: each rest belongs to one, however alike the rests are."""
    more = WITH_CACHE | {"input_tokens": 2350, "cache_read_tokens": 2000}
    whole = [at_bedrock("a", scope="w"), at_bedrock("b", scope="w", quantities=more)]
    parts = [at_bedrock(f"{above}{above}", scope="p", parent=above, quantities=WITHOUT_CACHE) for above in "ab"]
    records = settled(*whole, *parts)
    assert [records[key(name)].duplicate_of for name in ("aa", "bb")] == [span_id("a"), span_id("b")]
    third = at_bedrock("third", scope="p", quantities=WITHOUT_CACHE)
    assert billed(*whole, *parts, third) == {span_id("a"), span_id("b"), span_id("third")}


def test_an_estimate_does_not_complete_an_input() -> None:
    """A guess of the cached tokens takes the place of no count."""
    part = at_bedrock("part", quantities=WITHOUT_CACHE, start_ms=1)
    assert billed(at_bedrock("whole", is_estimated=True), part) == {span_id("part")}


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ({"call_id": "response:1"}, {"call_id": "response:1"}, "response_id"),
        ({"call_id": "phone:1"}, {"call_id": "phone:1"}, "phone_call_id"),
        ({"session_id": "s", "session_sequence": 0}, {"session_id": "s", "session_sequence": 0}, "session"),
        ({}, {"parent": "one"}, "nested"),
        ({}, {}, "overlap"),
        ({"quantities": {}}, {"parent": "one"}, "usage_lost"),
        ({"emitter_rank": EmitterRank.FRAMEWORK, "quantities": {"input_tokens": 9}}, {"parent": "one"}, "framework"),
    ],
)
def test_a_duplicate_says_why_it_is_one(one: dict[str, object], other: dict[str, object], why: str) -> None:
    """What the decision rests on is kept with it."""
    records = settled(call("one", **one), call("other", scope="sdk", emitter_rank=EmitterRank.GENAI, **other))  # pyright: ignore[reportArgumentType]
    (duplicate,) = [record for record in records.values() if record.status == "duplicate"]
    assert duplicate.issues == (f"same_call:{why}",)


@pytest.mark.parametrize(("start_ms", "calls"), [(1005, 1), (1006, 2)])
def test_clocks_may_be_five_milliseconds_apart(start_ms: int, calls: int) -> None:
    """Two side by side overlap up to and including the slack, by the sweep and by the last check of a group."""
    other = call("b", scope="scope.b", start_ms=start_ms, end_ms=2000)
    assert len(billed(call("a"), other)) == calls
    third = call("c", scope="scope.c", start_ms=start_ms, end_ms=2000)
    assert len(billed(call("a"), other, third)) == calls


@pytest.mark.parametrize("more", [0, 1, 2, 3])
@pytest.mark.parametrize("parent", ["root", "a"])
def test_an_output_may_be_two_tokens_off(more: int, parent: str) -> None:
    """Up to and including two, in both directions; three are another answer."""
    usage = {"input_tokens": 1200, "output_tokens": 345 + more}
    other = call("b", scope="scope.b", parent=parent, start_ms=1, quantities=usage)
    assert len(billed(call("a"), other)) == (2 if more > 2 else 1)
    assert len(billed(call("a", quantities=usage), call("b", scope="scope.b", start_ms=1))) == (2 if more > 2 else 1)


def test_of_equal_tellers_the_one_that_reports_more_is_billed() -> None:
    """Whoever is the leaf: more quantities are more detail."""
    more = {"input_tokens": 1200, "output_tokens": 345, "reasoning_tokens": 7}
    rich = call("rich", call_id="response:1", quantities=more, start_ms=0)
    assert billed(rich, call("poor", call_id="response:1", start_ms=5)) == {span_id("rich")}
