"""Which calls are billed, and with which figures: each provider call once."""

from decimal import Decimal as D

import pytest

from cost_exporter.domain.lineage import CALLS_ABOVE_MAX, Lineage
from cost_exporter.domain.same_call import OVERLAPPING_MAX
from cost_exporter.domain.span import Call, Detail, Link
from tests.domain.builders import OTHER_TRACE, TRACE, call, facts, key, link, settled, span_id


def billed(*spans: Call | Link) -> set[bytes]:
    return {record.call.span_id for record in settled(*spans).values() if record.status != "duplicate"}


# One bill per call


def test_equal_response_ids_are_one_call_and_the_richer_is_billed() -> None:
    """Two emitters tell of one response: the native one is billed, the other kept as its duplicate."""
    poor = call("poor", detail=Detail.TRACELOOP, call_id="response:1")
    rich = call("rich", detail=Detail.NATIVE, call_id="response:1", scope="scope.b", start_ms=1)
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
    inner = call("inner", parent="outer", quantities={"input_tokens": 1350, "output_tokens": 120}, detail=Detail.NATIVE)
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
    assert billed(call("a"), call("b", scope="scope.b", start_ms=2, detail=Detail.GENAI)) == {span_id("b")}


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
        call("b1", scope="scope.b", start_ms=1, end_ms=999, detail=Detail.GENAI),
        call("b2", scope="scope.b", start_ms=11, end_ms=1009, detail=Detail.GENAI),
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
    inner = [call(below, parent=above, scope="sdk", detail=Detail.NATIVE) for above, below in names]
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
    two = call("two", quantities={"audio_seconds": D(60)}, session_id="s", session_sequence=0, detail=Detail.NATIVE)
    assert billed(one, two) == {span_id("two")}


def test_a_session_below_a_span_of_equal_usage_is_billed_beside_it() -> None:
    """A delta is known by its session; equal usage above it proves nothing."""
    delta = call("delta", parent="outer", scope="scope.b", session_id="s", session_sequence=0)
    assert len(billed(call("outer"), delta)) == 2


def test_an_overlapping_span_of_an_earlier_time_does_not_match() -> None:
    """A delta is not compared with the span above it, even under another scope's name."""
    outer = call("outer", session_id="s", session_sequence=1)
    assert len(billed(outer, call("inner", parent="outer", scope="scope.b"))) == 2


def test_an_estimate_yields_to_a_meter_reading() -> None:
    """Between two tellers of a call, one of which guessed, the other is billed."""
    guess = call("guess", is_estimated=True, detail=Detail.NATIVE, call_id="response:1")
    assert billed(guess, call("real", call_id="response:1")) == {span_id("real")}


BEDROCK = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
WITH_CACHE = {"input_tokens": 1350, "output_tokens": 120, "cache_read_tokens": 1000, "cache_write_tokens": 300}
WITHOUT_CACHE = {"input_tokens": 1350 - 1000 - 300, "output_tokens": 120}


def at_bedrock(name: str, **said: object) -> Call:
    return call(name, **{"provider": "aws", "model": BEDROCK, "scope": name, "quantities": WITH_CACHE} | said)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("parent", ["whole", "root"])
@pytest.mark.parametrize("model", ["anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"])
def test_bedrocks_names_of_a_model_are_one(parent: str, model: str) -> None:
    """With and without region, vendor and version: the same call, above one another or side by side."""
    whole = at_bedrock("whole")
    assert billed(whole, at_bedrock("other", parent=parent, model=model, start_ms=1)) == {span_id("other")}


@pytest.mark.parametrize("parent", ["whole", "root"])
@pytest.mark.parametrize("detail", [Detail.TRACELOOP, Detail.NATIVE])
def test_an_input_without_its_cached_tokens_is_the_same_call_and_the_whole_one_is_billed(
    parent: str, detail: Detail
) -> None:
    """Of InvokeModel botocore tells 50 of 1350 tokens and nothing of the cache, however good it is else."""
    whole = at_bedrock("whole", detail=Detail.TRACELOOP)
    part = at_bedrock("part", parent=parent, start_ms=1, quantities=WITHOUT_CACHE, detail=detail)
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
        ({"detail": Detail.FRAMEWORK, "quantities": {"input_tokens": 9}}, {"parent": "one"}, "framework"),
    ],
)
def test_a_duplicate_says_why_it_is_one(one: dict[str, object], other: dict[str, object], why: str) -> None:
    """What the decision rests on is kept with it."""
    records = settled(call("one", **one), call("other", scope="sdk", detail=Detail.GENAI, **other))  # pyright: ignore[reportArgumentType]
    (duplicate,) = [record for record in records.values() if record.status == "duplicate"]
    assert duplicate.issues == (f"same_call:{why}",)


# Frameworks


def test_a_framework_span_yields_to_the_vendor_spans_below_it() -> None:
    """One utterance told by the framework, two sentences told by the vendor's SDK: the sentences are billed."""
    tts = {"operation": "text_to_speech", "model": "m"}
    utterance = call("utterance", detail=Detail.FRAMEWORK, quantities={"characters": 37}, provider="", **tts)
    first = call("first", parent="utterance", scope="sdk", quantities={"characters": 12}, **tts)
    second = call("second", parent="utterance", scope="sdk", start_ms=5, quantities={"characters": 25}, **tts)
    assert billed(utterance, first, second) == {span_id("first"), span_id("second")}
    assert settled(utterance, first, second)[key("utterance")].duplicate_of == span_id("first")


def test_a_framework_span_that_alone_knows_the_usage_is_billed() -> None:
    """Vendor spans that lost the usage stand for nothing; the framework's figure is billed."""
    outer = call("outer", detail=Detail.FRAMEWORK, quantities={"input_tokens": 5})
    inner = [call(name, parent="outer", quantities={}, model=name, scope="sdk") for name in ("x", "y")]
    records = settled(outer, *inner)
    assert records[key("outer")].status == "priced"
    assert {records[key(name)].duplicate_of for name in ("x", "y")} == {span_id("outer")}


def test_a_duplicate_names_the_span_that_is_billed_not_another_duplicate() -> None:
    """Two frameworks above a vendor span that lost its usage: all point at the one that knows it."""
    knows = call("a", detail=Detail.FRAMEWORK, quantities={"input_tokens": 5})
    knows_not = call("b", parent="a", detail=Detail.FRAMEWORK, quantities={})
    vendor = call("c", parent="b", quantities={}, model="other", scope="sdk")
    records = settled(knows, knows_not, vendor)
    assert billed(knows, knows_not, vendor) == {span_id("a")}
    assert {records[key(name)].duplicate_of for name in "bc"} == {span_id("a")}


def test_a_framework_span_yields_to_a_call_that_is_billed_elsewhere() -> None:
    """The vendor span below it is a duplicate of a richer one beside the framework: that one is the call."""
    outer = call("outer", detail=Detail.FRAMEWORK, quantities={"input_tokens": 5})
    below = call("below", parent="outer", scope="sdk")
    beside = call("beside", scope="native", detail=Detail.NATIVE)
    assert billed(outer, below, beside) == {span_id("beside")}


def test_an_outer_framework_yields_to_an_inner_one_that_stands_for_the_vendors_call() -> None:
    """Two frameworks know other figures of a call that the vendor's span lost: the inner one is billed, once."""
    outer = call("outer", detail=Detail.FRAMEWORK, scope="f", quantities={"input_tokens": 60}, end_ms=3000)
    inner = call("inner", parent="outer", detail=Detail.FRAMEWORK, scope="g", quantities={"input_tokens": 30})
    vendor = call("vendor", parent="inner", scope="sdk", quantities={})
    records = settled(outer, inner, vendor)
    assert billed(outer, inner, vendor) == {span_id("inner")}
    assert {records[key(name)].duplicate_of for name in ("outer", "vendor")} == {span_id("inner")}


def test_a_vendor_call_without_usage_stays_unknown_where_the_framework_yields() -> None:
    """Of two calls below a framework one lost its usage: it is unknown, and no duplicate of the other."""
    outer = call("outer", detail=Detail.FRAMEWORK, quantities={"input_tokens": 60})
    lost = [call(name, parent="outer", scope=name, quantities={}) for name in ("lost", "again")]
    known = call("known", parent="outer", scope="sdk", start_ms=500, quantities={"input_tokens": 30})
    records = settled(outer, *lost, known)
    assert records[key("known")].status == "priced"
    assert records[key("outer")].duplicate_of == span_id("known")
    assert {records[key(name)].status for name in ("lost", "again")} == {"no_usage", "duplicate"}


def test_a_framework_span_known_by_its_id_keeps_its_call() -> None:
    """The id says which of the calls below it tells of; the vendor's span of that one lost the usage."""
    outer = call("outer", detail=Detail.FRAMEWORK, call_id="response:1", quantities={"input_tokens": 60})
    lost = call("lost", parent="outer", scope="sdk", call_id="response:1", quantities={})
    other = call("other", parent="outer", scope="sdk", call_id="response:2", quantities={"input_tokens": 30})
    assert billed(outer, lost, other) == {span_id("outer"), span_id("other")}


@pytest.mark.parametrize("different", [{"provider": "anthropic"}, {"operation": "text_to_speech"}])
def test_a_framework_span_does_not_yield_to_other_operations_or_providers(different: dict[str, str]) -> None:
    """A vendor call of another kind below a framework's span is a call of its own."""
    outer = call("outer", detail=Detail.FRAMEWORK, quantities={"input_tokens": 5})
    inner = call("inner", parent="outer", scope="sdk", quantities={"characters": 9}, model="m", **different)  # pyright: ignore[reportArgumentType]
    assert len(billed(outer, inner)) == 2


def test_nested_frameworks_and_plain_parents_do_not_yield() -> None:
    """Only a framework yields by kind; a plain parent with other usage is billed."""
    outer = call("outer", quantities={"input_tokens": 5})
    framework = call("framework", parent="outer", detail=Detail.FRAMEWORK, quantities={"input_tokens": 6})
    inner = call("inner", parent="framework", quantities={"input_tokens": 7})
    assert billed(outer, framework, inner) == {span_id("outer"), span_id("inner")}


def test_a_span_its_emitter_calls_not_billable_is_not_billed() -> None:
    """`gen_ai.usage.billable=false` alone is enough, also while the leaf is in another trace."""
    record = settled(call("framework", is_billable=False))[key("framework")]
    assert (record.status, record.duplicate_of, record.issues) == ("duplicate", None, ("not_billable",))


def test_a_not_billable_span_stays_a_duplicate_of_its_leaf() -> None:
    """Where the leaf is known, it is named."""
    framework = call("framework", is_billable=False, call_id="response:1", detail=Detail.NATIVE)
    records = settled(framework, call("leaf", call_id="response:1"))
    assert records[key("framework")].duplicate_of == span_id("leaf")


def test_a_framework_span_does_not_yield_to_what_is_not_billed() -> None:
    """The leaf that the span below promises is not there: the framework's figure is all that is known."""
    outer = call("outer", detail=Detail.FRAMEWORK)
    promise = call("promise", parent="outer", scope="sdk", quantities={"input_tokens": 7}, is_billable=False)
    assert billed(outer, promise) == {span_id("outer")}


def test_a_framework_span_that_is_not_billable_names_the_vendors_that_are() -> None:
    """It never takes a call over, not even one whose usage only it knows."""
    outer = call("outer", detail=Detail.FRAMEWORK, is_billable=False)
    records = settled(outer, call("vendor", parent="outer", scope="sdk", quantities={}))
    assert records[key("vendor")].status == "no_usage"
    assert records[key("outer")].duplicate_of == span_id("vendor")


def test_tellings_that_are_all_not_billable_name_nobody() -> None:
    """One call, two spans, neither to be billed: neither stands for the other."""
    records = settled(*[call(name, scope=name, is_billable=False, call_id="response:1") for name in "ab"])
    assert [record.duplicate_of for record in records.values()] == [None, None]


# Amendments within a set


def test_a_phone_call_keeps_its_place_and_takes_the_vendors_price() -> None:
    """The price arrives later, in another trace: the first span of the call is billed with it."""
    phone = {"operation": "phone_call", "provider": "twilio", "model": "", "call_id": "phone:CA1"}
    first = call("first", quantities={"call_seconds": 75, "calls": 1}, **phone)
    fetched = call("fetch", trace=OTHER_TRACE, start_ms=90_000, quantities={}, vendor_cost_usd=D("0.028"), **phone)
    records = settled(first, fetched)
    record = records[key("first")]
    assert (record.status, record.cost_usd, record.tenant) == ("reported", D("0.028"), "default")
    assert record.quantities == {"call_seconds": 75, "calls": 1}
    assert record.issues == (f"amended_by:{span_id('fetch').hex()}",)
    assert records[key("fetch", OTHER_TRACE)].duplicate_trace_id == TRACE


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_a_phone_call_keeps_its_place_below_a_span_without_its_id(names: tuple[str, str]) -> None:
    """The application's own span around the call started first and takes the price, whatever the ids of the spans."""
    phone = {"operation": "phone_call", "provider": "twilio", "model": "", "quantities": {"call_seconds": 61}}
    app = call(names[0], end_ms=61_000, **phone)  # pyright: ignore[reportArgumentType]
    told = call(names[1], parent=names[0], start_ms=1, end_ms=61_000, scope="sdk", call_id="phone:CA1", **phone)  # pyright: ignore[reportArgumentType]
    price = call(
        "c",
        trace=OTHER_TRACE,
        scope="sdk",
        start_ms=90_000,
        end_ms=90_100,
        call_id="phone:CA1",
        vendor_cost_usd=D("0.0280"),
        **phone,
    )  # pyright: ignore[reportArgumentType]
    records = settled(app, told, price)
    assert billed(app, told, price) == {span_id(names[0])}
    assert records[key(names[0])].cost_usd == D("0.0280")


def test_a_phone_call_is_billed_on_a_span_that_may_be() -> None:
    """The earliest span of it says that it is not billable: the next one is."""
    phone = {"operation": "phone_call", "provider": "twilio", "model": "", "call_id": "phone:CA1"}
    early = call("early", is_billable=False, quantities={}, **phone)  # pyright: ignore[reportArgumentType]
    late = call("late", start_ms=500, quantities={"call_seconds": 61}, **phone)  # pyright: ignore[reportArgumentType]
    assert billed(early, late) == {span_id("late")}


def test_a_phone_call_told_twice_without_news_is_billed_as_first_told() -> None:
    """The first span is the best one already: nothing is amended."""
    phone = {"operation": "phone_call", "call_id": "phone:CA1"}
    first = call("first", quantities={"call_seconds": 75}, **phone)
    records = settled(first, call("again", start_ms=5, quantities={}, **phone))
    assert records[key("first")].issues == ()


def test_a_price_fetched_later_leaves_a_phone_call_in_its_workflow() -> None:
    """Twilio tells the start in whole seconds: the job that fetches the price seems to have been there first."""
    phone = {"operation": "phone_call", "call_id": "phone:CA1", "quantities": {"call_seconds": 75}}
    callback = call("callback", start_ms=1_400, end_ms=76_400, **phone)
    fetched = call("fetch", trace=OTHER_TRACE, start_ms=1_000, end_ms=900_000, vendor_cost_usd=D("0.017"), **phone)
    for spans in ((callback, fetched), (fetched, callback)):
        records = settled(*spans)
        assert records[key("callback")].cost_usd == D("0.017")
        assert records[key("fetch", OTHER_TRACE)].duplicate_trace_id == TRACE


def test_of_spans_of_a_phone_call_with_one_start_the_first_to_end_is_billed() -> None:
    """Twilio tells the start in whole seconds: the span that was told first keeps its place, whatever its id."""
    phone = {"operation": "phone_call", "call_id": "phone:CA1", "quantities": {"call_seconds": 75}}
    first = call("z-first", end_ms=1, **phone)
    records = settled(call("a-later", end_ms=2, vendor_cost_usd=D("0.017"), **phone), first)
    assert (records[key("z-first")].status, records[key("a-later")].status) == ("reported", "duplicate")


def deltas(*seconds: int, total: int | None) -> list[Call]:
    last = len(seconds) - 1
    return [
        call(
            f"d{i}",
            operation="speech_to_text",
            start_ms=60_000 * i,
            quantities={"audio_seconds": D(each)},
            session_id="s",
            session_sequence=i,
            session_vendor_total_seconds=D(total) if i == last and total is not None else None,
        )
        for i, each in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    ("said", "total", "expected"),
    [
        ((60, 60, 12), None, [60, 60, 12]),
        ((60, 60, 12), 132, [60, 60, 12]),
        ((60, 60, 12), 140, [60, 60, 20]),
        ((60, 60, 12), 125, [60, 60, 5]),
        ((60, 60, 12), 100, [60, 40, 0]),
        ((60, 60, 0), 100, [60, 40, 0]),
    ],
)
def test_deltas_add_up_to_the_vendors_total(said: tuple[int, ...], total: int | None, expected: list[int]) -> None:
    """What is missing goes to the last delta; what is too much comes off the last ones, none below 0."""
    records = settled(*deltas(*said, total=total))
    assert [records[key(f"d{i}")].quantities["audio_seconds"] for i in range(3)] == expected


def test_each_delta_knows_what_went_before_it() -> None:
    """Prices that round by the session need the sum of the earlier deltas, as corrected."""
    records = settled(*deltas(60, 60, 12, total=100))
    assert [records[key(f"d{i}")].session_before for i in range(3)] == [
        None,
        {"audio_seconds": D(60)},
        {"audio_seconds": D(100)},
    ]


def test_session_seconds_are_corrected_where_the_session_has_no_audio_seconds() -> None:
    """A vendor that meters the open socket states its total of those."""
    delta = call(
        "d",
        quantities={"session_seconds": D(5)},
        session_id="s",
        session_sequence=0,
        session_vendor_total_seconds=D(7),
        session_is_closed=True,
    )
    assert settled(delta)[key("d")].quantities == {"session_seconds": D(7)}
