"""Which calls are billed, on whose account: from the set of facts, whatever their order."""

from dataclasses import replace
from decimal import Decimal as D
from hashlib import blake2b
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_exporter.domain.attribution import Attribution
from cost_exporter.domain.rollup import NOTHING, daily_key, difference, measures_of, rollup, workflow_key
from cost_exporter.domain.settle import TraceFacts, better_call, better_link, settle, workflow_of
from cost_exporter.domain.span import Call, Detail, Link, Root
from tests.domain.builders import OTHER_TRACE, TRACE, call, facts, key, link, price_by_sum, span_id

ACME = Attribution(tenant="acme")


def settled(*spans: Call | Link, **options: object):
    return settle(facts(*spans, **options), price_by_sum)  # pyright: ignore[reportArgumentType]


def billed(*spans: Call | Link) -> set[bytes]:
    return {record.call.span_id for record in settled(*spans).values() if record.status != "duplicate"}


# Attribution


def test_tenant_comes_from_the_nearest_ancestor() -> None:
    """A call without a tenant goes on the account of its nearest ancestor that has one."""
    records = settled(
        link("root", parent=None, attribution=Attribution(tenant="far", category="bot")),
        link("agent", attribution=Attribution(tenant="near")),
        link("plain", parent="agent"),
        call("chat", parent="plain"),
    )
    assert (records[key("chat")].tenant, records[key("chat")].category) == ("near", "bot")


def test_a_broken_chain_falls_back_to_the_root() -> None:
    """Where a span between call and root never arrived, the root's word still applies."""
    records = settled(link("root", parent=None, attribution=ACME), call("chat", parent="lost"))
    assert records[key("chat")].tenant == "acme"


def test_the_resource_speaks_last() -> None:
    """The resource applies where no span of the trace says anything."""
    resource = Attribution(tenant="resource", category="resource")
    chat = call("chat", resource_attribution=resource)
    records = settled(link("root", parent=None, attribution=ACME), chat)
    assert (records[key("chat")].tenant, records[key("chat")].category) == ("acme", "resource")
    assert settled(chat)[key("chat")].tenant == "resource"


def test_a_root_call_attributes_itself_and_its_children() -> None:
    """A provider call may be the root of its trace."""
    records = settled(
        call("first", parent=None, attribution=ACME, model="a"), call("second", parent="first", model="b")
    )
    assert {record.tenant for record in records.values()} == {"acme"}


def test_without_any_word_a_call_is_of_the_namespace_and_uncategorised() -> None:
    """Nothing said: the namespace is the tenant, and the category says that there is none."""
    record = settled(call("chat"))[key("chat")]
    assert (record.tenant, record.category) == ("default", "uncategorised")


def test_a_credential_beats_every_attribute() -> None:
    """With an untrusted tenant attribute the namespace of the credential is the tenant."""
    records = settled(call("chat", attribution=ACME), namespace="globex", tenant_is_trusted=False)
    assert records[key("chat")].tenant == "globex"


def test_what_a_cycle_inherits_does_not_depend_on_where_it_begins() -> None:
    """Three spans, each the parent of the next, of which one names the tenant: all three are on its account."""
    ring = [call("a", parent="b"), call("b", parent="c"), call("c", parent="a", attribution=Attribution(tenant="acme"))]
    for start in range(3):
        records = settle(facts(*ring[start:], *ring[:start]), price_by_sum)
        assert [record.tenant for record in records.values()] == ["acme"] * 3


def test_a_cycle_of_parents_ends() -> None:
    """Forged parents that form a circle neither hang nor lose the call."""
    records = settled(link("a", parent="b", attribution=ACME), link("b", parent="a"), call("chat", parent="b"))
    assert records[key("chat")].tenant == "acme"


def test_of_two_roots_the_earlier_is_the_root() -> None:
    """Two spans without a parent: the one that started first speaks for the trace."""
    late = call("late", parent=None, start_ms=50, attribution=Attribution(tenant="late"), model="x")
    records = settled(late, link("root", parent=None, attribution=ACME), call("chat", parent="lost"))
    assert records[key("chat")].tenant == "acme"


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


def test_a_phone_call_told_twice_without_news_is_billed_as_first_told() -> None:
    """The first span is the best one already: nothing is amended."""
    phone = {"operation": "phone_call", "call_id": "phone:CA1"}
    first = call("first", quantities={"call_seconds": 75}, **phone)
    records = settled(first, call("again", start_ms=5, quantities={}, **phone))
    assert records[key("first")].issues == ()


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


# The workflow as a whole


def test_a_workflow_runs_until_its_root_ends() -> None:
    """Without a root a workflow is running; with one it is completed."""
    assert workflow_of(TRACE, facts(call("chat"))).state == "running"
    assert workflow_of(TRACE, facts(call("chat"), link("root", parent=None))).state == "completed"


def test_a_failed_root_or_outcome_fails_the_workflow() -> None:
    """The outcome said beats the root's status."""
    assert workflow_of(TRACE, facts(call("chat", parent=None, has_failed=True))).state == "failed"
    said = {"failed": "failed", "completed": "completed", "abandoned": "completed"}
    for outcome, state in said.items():
        root = call("chat", parent=None, has_failed=True, attribution=Attribution(outcome=outcome))
        assert workflow_of(TRACE, facts(root)).state == state


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("4.99", None, D("4.99")),
        ("4.99", "usd", D("4.99")),
        ("4.99", "EUR", None),
        ("four", None, None),
        ("-1", None, None),
        (None, None, None),
    ],
)
def test_revenue_is_taken_in_dollars_only(amount: str | None, currency: str | None, expected: D | None) -> None:
    """Other currencies are not converted and nonsense is not guessed at."""
    attribution = Attribution(revenue_amount=amount, revenue_currency=currency, workflow_name="call", workflow_id="7")
    workflow = workflow_of(TRACE, facts(call("chat", attribution=attribution)))
    assert (workflow.revenue_usd, workflow.workflow_name, workflow.workflow_id) == (expected, "call", "7")


def test_the_root_speaks_for_the_workflow_before_any_other_span() -> None:
    """What the root says of the workflow is not overruled by a span below it."""
    root = link("root", parent=None, attribution=Attribution(workflow_name="a"))
    chat = call("chat", attribution=Attribution(workflow_name="z", workflow_id="7"))
    workflow = workflow_of(TRACE, facts(root, chat, call("elsewhere", trace=OTHER_TRACE)))
    assert (workflow.workflow_name, workflow.workflow_id) == ("a", "7")


# Laws


def test_invalid_counts_enter_no_sum() -> None:
    """An impossible count is kept on the record and counted as unknown, but never summed."""
    record = replace(settled(call("a", quantities={"input_tokens": -5}))[key("a")], status="invalid", cost_usd=None)
    measures = measures_of(record)
    assert (measures.request_count, measures.unpriced_count, measures.input_tokens) == (1, 1, 0)


def test_records_of_one_key_are_summed() -> None:
    """Two calls of one kind on one day make one daily rollup with both."""
    records = settled(call("a", call_id="response:1"), call("b", call_id="response:2"))
    (measures,) = rollup(records.values(), daily_key).values()
    assert (measures.request_count, measures.cost_usd) == (2, 2 * D("0.000001") * (1200 + 345))


def test_the_better_of_two_contents_does_not_depend_on_order() -> None:
    """Rule 2: usage, then end, then quantity, then content hash."""
    ladder = [
        call("a", quantities={}),
        call("a", quantities={"input_tokens": 9}, end_ms=500),
        call("a", quantities={"input_tokens": 1}, end_ms=600),
        call("a", quantities={"input_tokens": 2}, end_ms=600),
        call("a", quantities={"input_tokens": 2}, end_ms=600, content_hash=7),
    ]
    for worse, better in pairwise(ladder):
        assert better_call(worse, better) is better_call(better, worse) is better


def test_the_better_of_two_links_does_not_depend_on_order() -> None:
    """A root beats a span that names a parent, a later end an earlier one, more words fewer."""
    early = Root(started_at_unix_ns=0, ended_at_unix_ns=1, has_failed=False)
    late = Root(started_at_unix_ns=0, ended_at_unix_ns=2, has_failed=False)
    plain = link("a", parent="p")
    said = link("a", parent="o", attribution=ACME)
    roots = [Link(trace_id=TRACE, span_id=span_id("a"), parent_span_id=None, root=root) for root in (early, late)]
    ladder = [plain, said, *roots]
    for worse, better in pairwise(ladder):
        assert better_link(worse, better) is better_link(better, worse) is better


def with_true_hash(raw: Call) -> Call:
    """A call whose content hash is one: equal for equal contents only."""
    return replace(raw, content_hash=int.from_bytes(blake2b(repr(raw).encode(), digest_size=7).digest()))


NAMES = ["a", "b", "c", "d", "e"]
spans = st.builds(
    call,
    st.sampled_from(NAMES),
    parent=st.sampled_from([None, "root", *NAMES]),
    trace=st.sampled_from([TRACE, OTHER_TRACE]),
    start_ms=st.sampled_from([0, 2, 1500]),
    end_ms=st.sampled_from([2000, 2001]),
    scope=st.sampled_from(["scope.a", "scope.b"]),
    detail=st.sampled_from([Detail.FRAMEWORK, Detail.PLAIN, Detail.NATIVE]),
    quantities=st.sampled_from([{}, {"input_tokens": 5, "output_tokens": 1}, {"input_tokens": 5, "output_tokens": 2}]),
    call_id=st.sampled_from(["", "", "response:1", "phone:1"]),
    is_billable=st.sampled_from([True, True, False]),
    session_id=st.sampled_from(["", "", "s"]),
    session_sequence=st.sampled_from([None, 0, 1]),
    session_vendor_total_seconds=st.sampled_from([None, D(7)]),
    attribution=st.sampled_from([Attribution(), ACME, Attribution(category="bot")]),
).map(with_true_hash)
links = st.builds(
    link,
    st.sampled_from(["root", *NAMES]),
    parent=st.sampled_from([None, *NAMES]),
    attribution=st.sampled_from([Attribution(), Attribution(tenant="root", category="insights")]),
)


def merged(pieces: list[Call | Link]) -> TraceFacts:
    """The facts as they add up when they arrive one by one."""
    known = facts()
    for piece in pieces:
        known = known.merged_with(facts(piece))
    return known


@settings(max_examples=150)
@given(st.lists(st.one_of(spans, links), max_size=9), st.randoms(use_true_random=False))
def test_the_outcome_does_not_depend_on_order_or_repetition(pieces: list[Call | Link], random) -> None:
    """Any permutation with any repetition settles to the same records and the same rollups."""
    shuffled = pieces + pieces[: len(pieces) // 2]
    random.shuffle(shuffled)
    once, again = settle(merged(pieces), price_by_sum), settle(merged(shuffled), price_by_sum)
    assert once == again
    assert rollup(once.values(), workflow_key) == rollup(again.values(), workflow_key)


@settings(max_examples=150)
@given(st.lists(st.one_of(spans, links), max_size=9), st.integers(0, 9))
def test_rollups_move_by_differences(pieces: list[Call | Link], cut: int) -> None:
    """What a rollup was, moved by the difference, is what it is; and both ways of summing agree."""
    before = rollup(settle(merged(pieces[:cut]), price_by_sum).values(), daily_key)
    records = settle(merged(pieces), price_by_sum).values()
    after = rollup(records, daily_key)
    moved = dict(before)
    for group, move in difference(before, after).items():
        moved[group] = moved.get(group, NOTHING).plus(move)
    assert {group: each for group, each in moved.items() if each != NOTHING} == after
    assert sum(each.cost_usd for each in after.values()) == sum(record.known_cost_usd for record in records)


@settings(max_examples=150)
@given(
    st.lists(st.one_of(spans, links), max_size=6),
    st.lists(st.one_of(spans, links), max_size=6),
    st.lists(spans, max_size=4),
)
def test_merging_facts_is_commutative_associative_and_idempotent(a, b, c) -> None:
    """The laws that make replays, retries and reordering harmless."""
    x, y, z = merged(a), merged(b), merged(c)
    assert x.merged_with(y) == y.merged_with(x)
    assert x.merged_with(y).merged_with(z) == x.merged_with(y.merged_with(z))
    assert x.merged_with(x) == x


@settings(max_examples=150)
@given(st.lists(spans, max_size=9))
def test_every_call_is_billed_or_names_why_not(pieces: list[Call]) -> None:
    """No call vanishes: each is billed, unknown, or a duplicate of one that is not itself a duplicate."""
    records = settle(merged(list(pieces)), price_by_sum)
    assert records.keys() == merged(list(pieces)).calls.keys()
    for (trace, _), record in records.items():
        if record.status == "duplicate" and record.duplicate_of is not None:
            winner = records[record.duplicate_trace_id or trace, record.duplicate_of]
            assert winner.status != "duplicate" or not winner.call.is_billable
