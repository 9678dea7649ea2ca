"""A framework's span yields to the vendors' calls below it; what may not be billed never is."""

from dataclasses import replace

import pytest

from cost_exporter.domain.span import EmitterRank
from tests.domain.builders import billed, call, key, settled, span_id


def test_a_framework_span_yields_to_the_vendor_spans_below_it() -> None:
    """One utterance told by the framework, two sentences told by the vendor's SDK: the sentences are billed."""
    tts = {"operation": "text_to_speech", "model": "m"}
    utterance = call("utterance", emitter_rank=EmitterRank.FRAMEWORK, quantities={"characters": 37}, provider="", **tts)
    first = call("first", parent="utterance", scope="sdk", quantities={"characters": 12}, **tts)
    second = call("second", parent="utterance", scope="sdk", start_ms=5, quantities={"characters": 25}, **tts)
    assert billed(utterance, first, second) == {span_id("first"), span_id("second")}
    assert settled(utterance, first, second)[key("utterance")].duplicate_of == span_id("first")


def test_a_framework_that_names_a_host_yields_to_the_vendor_spans_below_it() -> None:
    """LiveKit's plugin of OpenAI calls a server of one's own by its host; the SDK below it says openai."""
    usage = {"input_tokens": 5}
    outer = call("outer", emitter_rank=EmitterRank.FRAMEWORK, quantities=usage, provider="llm.example")
    outer = replace(outer, usage=replace(outer.usage, base_url="llm.example"))
    inner = call("inner", parent="outer", scope="sdk", quantities={"input_tokens": 7}, model="other")
    assert billed(outer, inner) == {span_id("inner")}
    named = replace(outer, usage=replace(outer.usage, provider="groq"))
    assert billed(named, inner) == {span_id("outer"), span_id("inner")}


def test_a_framework_span_that_alone_knows_the_usage_is_billed() -> None:
    """Vendor spans that lost the usage stand for nothing; the framework's figure is billed."""
    outer = call("outer", emitter_rank=EmitterRank.FRAMEWORK, quantities={"input_tokens": 5})
    inner = [call(name, parent="outer", quantities={}, model=name, scope="sdk") for name in ("x", "y")]
    records = settled(outer, *inner)
    assert records[key("outer")].status == "priced"
    assert {records[key(name)].duplicate_of for name in ("x", "y")} == {span_id("outer")}


def test_a_duplicate_names_the_span_that_is_billed_not_another_duplicate() -> None:
    """Two frameworks above a vendor span that lost its usage: all point at the one that knows it."""
    knows = call("a", emitter_rank=EmitterRank.FRAMEWORK, quantities={"input_tokens": 5})
    knows_not = call("b", parent="a", emitter_rank=EmitterRank.FRAMEWORK, quantities={})
    vendor = call("c", parent="b", quantities={}, model="other", scope="sdk")
    records = settled(knows, knows_not, vendor)
    assert billed(knows, knows_not, vendor) == {span_id("a")}
    assert {records[key(name)].duplicate_of for name in "bc"} == {span_id("a")}


def test_a_framework_span_yields_to_a_call_that_is_billed_elsewhere() -> None:
    """The vendor span below it is a duplicate of a richer one beside the framework: that one is the call."""
    outer = call("outer", emitter_rank=EmitterRank.FRAMEWORK, quantities={"input_tokens": 5})
    below = call("below", parent="outer", scope="sdk")
    beside = call("beside", scope="native", emitter_rank=EmitterRank.NATIVE)
    assert billed(outer, below, beside) == {span_id("beside")}


def test_an_outer_framework_yields_to_an_inner_one_that_stands_for_the_vendors_call() -> None:
    """Two frameworks know other figures of a call that the vendor's span lost: the inner one is billed, once."""
    outer = call("outer", emitter_rank=EmitterRank.FRAMEWORK, scope="f", quantities={"input_tokens": 60}, end_ms=3000)
    inner = call(
        "inner", parent="outer", emitter_rank=EmitterRank.FRAMEWORK, scope="g", quantities={"input_tokens": 30}
    )
    vendor = call("vendor", parent="inner", scope="sdk", quantities={})
    records = settled(outer, inner, vendor)
    assert billed(outer, inner, vendor) == {span_id("inner")}
    assert {records[key(name)].duplicate_of for name in ("outer", "vendor")} == {span_id("inner")}


def test_a_vendor_call_without_usage_stays_unknown_where_the_framework_yields() -> None:
    """Of two calls below a framework one lost its usage: it is unknown, and no duplicate of the other."""
    outer = call("outer", emitter_rank=EmitterRank.FRAMEWORK, quantities={"input_tokens": 60})
    lost = [call(name, parent="outer", scope=name, quantities={}) for name in ("lost", "again")]
    known = call("known", parent="outer", scope="sdk", start_ms=500, quantities={"input_tokens": 30})
    records = settled(outer, *lost, known)
    assert records[key("known")].status == "priced"
    assert records[key("outer")].duplicate_of == span_id("known")
    assert {records[key(name)].status for name in ("lost", "again")} == {"no_usage", "duplicate"}


def test_a_framework_span_known_by_its_id_keeps_its_call() -> None:
    """The id says which of the calls below it tells of; the vendor's span of that one lost the usage."""
    outer = call("outer", emitter_rank=EmitterRank.FRAMEWORK, call_id="response:1", quantities={"input_tokens": 60})
    lost = call("lost", parent="outer", scope="sdk", call_id="response:1", quantities={})
    other = call("other", parent="outer", scope="sdk", call_id="response:2", quantities={"input_tokens": 30})
    assert billed(outer, lost, other) == {span_id("outer"), span_id("other")}


@pytest.mark.parametrize("different", [{"provider": "anthropic"}, {"operation": "text_to_speech"}])
def test_a_framework_span_does_not_yield_to_other_operations_or_providers(different: dict[str, str]) -> None:
    """A vendor call of another kind below a framework's span is a call of its own."""
    outer = call("outer", emitter_rank=EmitterRank.FRAMEWORK, quantities={"input_tokens": 5})
    inner = call("inner", parent="outer", scope="sdk", quantities={"characters": 9}, model="m", **different)  # pyright: ignore[reportArgumentType]
    assert len(billed(outer, inner)) == 2


def test_nested_frameworks_and_plain_parents_do_not_yield() -> None:
    """Only a framework yields by kind; a plain parent with other usage is billed."""
    outer = call("outer", quantities={"input_tokens": 5})
    framework = call("framework", parent="outer", emitter_rank=EmitterRank.FRAMEWORK, quantities={"input_tokens": 6})
    inner = call("inner", parent="framework", quantities={"input_tokens": 7})
    assert billed(outer, framework, inner) == {span_id("outer"), span_id("inner")}


def test_a_span_its_emitter_calls_not_billable_is_not_billed() -> None:
    """`gen_ai.usage.billable=false` alone is enough, also while the leaf is in another trace."""
    record = settled(call("framework", is_billable=False))[key("framework")]
    assert (record.status, record.duplicate_of, record.issues) == ("duplicate", None, ("not_billable",))


def test_a_not_billable_span_stays_a_duplicate_of_its_leaf() -> None:
    """Where the leaf is known, it is named."""
    framework = call("framework", is_billable=False, call_id="response:1", emitter_rank=EmitterRank.NATIVE)
    records = settled(framework, call("leaf", call_id="response:1"))
    assert records[key("framework")].duplicate_of == span_id("leaf")


def test_a_framework_span_does_not_yield_to_what_is_not_billed() -> None:
    """The leaf that the span below promises is not there: the framework's figure is all that is known."""
    outer = call("outer", emitter_rank=EmitterRank.FRAMEWORK)
    promise = call("promise", parent="outer", scope="sdk", quantities={"input_tokens": 7}, is_billable=False)
    assert billed(outer, promise) == {span_id("outer")}


def test_a_framework_span_that_is_not_billable_names_the_vendors_that_are() -> None:
    """It never takes a call over, not even one whose usage only it knows."""
    outer = call("outer", emitter_rank=EmitterRank.FRAMEWORK, is_billable=False)
    records = settled(outer, call("vendor", parent="outer", scope="sdk", quantities={}))
    assert records[key("vendor")].status == "no_usage"
    assert records[key("outer")].duplicate_of == span_id("vendor")


def test_tellings_that_are_all_not_billable_name_nobody() -> None:
    """One call, two spans, neither to be billed: neither stands for the other."""
    records = settled(*[call(name, scope=name, is_billable=False, call_id="response:1") for name in "ab"])
    assert [record.duplicate_of for record in records.values()] == [None, None]
