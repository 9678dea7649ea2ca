"""Which span of a call is billed, and with what: each condition of the choice, with the case that needs it."""

from decimal import Decimal as D
from itertools import permutations
from typing import Any

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.span import Call, EmitterRank, SpanKey
from tests.domain.builders import call, key, settled, span_id

FRAMEWORK = EmitterRank.FRAMEWORK
ONE: dict[str, Any] = {"call_id": "response:1"}
TOTAL = {"input_tokens": 1350, "output_tokens": 120}


def in_each_order(*spans: Call) -> dict[SpanKey, CostRecord]:
    """The records of the spans, which do not depend on the order of arrival."""
    first = settled(*spans)
    for order in permutations(spans):
        assert settled(*order) == first
    return first


def test_a_stated_cost_is_worth_more_than_a_better_emitter_without_usage() -> None:
    """The cost is all that is known of the call."""
    stated = call("stated", scope="one", quantities={}, vendor_cost_usd=D("0.5"), **ONE)
    empty = call("empty", scope="two", quantities={}, emitter_rank=EmitterRank.NATIVE, **ONE)
    records = in_each_order(stated, empty)
    assert records[key("stated")].cost_usd == D("0.5")
    assert records[key("empty")].duplicate_of == span_id("stated")


def test_a_billable_span_is_believed_before_one_that_is_not() -> None:
    """Both could complete the billed one; the second reports more, and is not billable."""
    billed = call("billed", scope="one", emitter_rank=EmitterRank.NATIVE, quantities=TOTAL, **ONE)
    believed = call("believed", scope="two", quantities=TOTAL | {"cache_read_tokens": 900}, **ONE)
    other = call(
        "other",
        scope="three",
        emitter_rank=EmitterRank.GENAI,
        quantities=TOTAL | {"cache_read_tokens": 1000, "reasoning_tokens": 1},
        is_billable=False,
        **ONE,
    )
    record = in_each_order(billed, believed, other)[key("billed")]
    assert record.quantities["cache_read_tokens"] == 900


def test_between_equal_spans_the_same_one_is_billed_in_every_order() -> None:
    """The greatest id, where nothing else differs."""
    records = in_each_order(*(call(name, scope=name, **ONE) for name in "abc"))
    assert [records[key(name)].status for name in "abc"] == ["duplicate", "duplicate", "priced"]


def phone(name: str, seconds: int | None, ended_ms: int, **fields: Any) -> Call:
    quantities = {} if seconds is None else {"call_seconds": D(seconds)}
    return call(
        name,
        scope=name,
        provider="twilio",
        operation="phone_call",
        model="outbound",
        quantities=quantities,
        end_ms=ended_ms,
        call_id="phone:CA1",
        **fields,
    )


def test_the_longest_report_of_a_phone_call_counts() -> None:
    """Whichever ended first keeps the call's day."""
    records = in_each_order(phone("first", 30, 1000), phone("long", 61, 2000), phone("late", 45, 3000))
    assert records[key("first")].quantities == {"call_seconds": D(61)}
    assert records[key("first")].issues == (f"amended_by:{span_id('long').hex()}",)


def test_a_report_of_no_seconds_is_more_than_none() -> None:
    """A call that nobody answered lasted 0 seconds; that is known."""
    records = in_each_order(phone("first", None, 1000), phone("zero", 0, 2000), phone("last", None, 3000))
    assert records[key("first")].quantities == {"call_seconds": D(0)}


def test_between_equally_long_reports_the_later_one_counts() -> None:
    """It may state what the earlier one did not know yet."""
    records = in_each_order(phone("m", 30, 1000), phone("z", 61, 2000), phone("a", 61, 3000))
    assert records[key("m")].issues == (f"amended_by:{span_id('a').hex()}",)


def test_equal_reports_of_a_phone_call_bill_the_same_one_in_every_order() -> None:
    """The least id is billed, and amended by the greatest."""
    records = in_each_order(*(phone(name, 61, 1000) for name in "abc"))
    assert records[key("a")].issues == (f"amended_by:{span_id('c').hex()}",)
    assert {records[key(name)].duplicate_of for name in "bc"} == {span_id("a")}


def test_only_spans_below_the_same_id_are_separate_calls() -> None:
    """A framework's span that shares its id with one vendor span stands for no other vendor span below it."""
    records = in_each_order(
        call("frame", emitter_rank=FRAMEWORK, scope="framework", **ONE),
        call("same", parent="frame", scope="vendor", quantities=TOTAL, **ONE),
        call("other", parent="frame", scope="vendor", start_ms=1100, end_ms=1900, call_id="response:2"),
    )
    statuses = [records[key(name)].status for name in ("frame", "same", "other")]
    assert statuses == ["duplicate", "priced", "priced"]
    assert records[key("frame")].duplicate_of == span_id("same")


def test_a_framework_that_is_not_billable_gives_no_usage_away() -> None:
    """Its vendor's span stays the call, with usage unknown."""
    records = in_each_order(
        call("frame", emitter_rank=FRAMEWORK, scope="framework", is_billable=False, start_ms=-5, end_ms=5000),
        call("vendor", parent="frame", scope="vendor", quantities={}, model="claude-opus-5", provider="openai"),
    )
    assert records[key("vendor")].status == "no_usage"
    assert records[key("frame")].status == "duplicate"


def test_an_id_of_its_own_does_not_part_a_framework_from_its_vendor() -> None:
    """Only an id that both state says which call it is."""
    records = in_each_order(
        call("frame", emitter_rank=FRAMEWORK, scope="framework", start_ms=-5, end_ms=5000, call_id="response:9"),
        call("vendor", parent="frame", scope="vendor", quantities={"input_tokens": 60, "output_tokens": 5}),
    )
    assert records[key("frame")].duplicate_of == span_id("vendor")


def test_of_nested_frameworks_the_inner_one_keeps_a_call_whose_vendor_lost_the_usage() -> None:
    """The outer one stands for the inner one, whatever their ids."""
    for inner, outer in ("xy", "yx"):
        records = in_each_order(
            call(outer, emitter_rank=FRAMEWORK, scope="outer", start_ms=-9, end_ms=9000, quantities=TOTAL),
            call(inner, parent=outer, emitter_rank=FRAMEWORK, scope="inner", start_ms=-5, end_ms=5000),
            call("vendor", parent=inner, scope="vendor", quantities={}, start_ms=100, end_ms=900),
        )
        assert records[key(inner)].status == "priced"
        assert {records[key(name)].duplicate_of for name in (outer, "vendor")} == {span_id(inner)}
        assert records[key("vendor")].issues == ("same_call:usage_lost",)


def test_a_framework_of_several_calls_names_the_first_of_them() -> None:
    """By its start, not by its id."""
    records = in_each_order(
        call("frame", emitter_rank=FRAMEWORK, scope="framework", start_ms=-5, end_ms=5000),
        call("z", parent="frame", scope="vendor", quantities=TOTAL),
        call("a", parent="frame", scope="vendor", quantities=TOTAL, start_ms=1100, end_ms=1900),
    )
    assert records[key("frame")].duplicate_of == span_id("z")


def test_a_framework_without_usage_yields_to_a_vendor_without_usage() -> None:
    """The innermost span is the call."""
    records = in_each_order(
        call("frame", emitter_rank=FRAMEWORK, scope="framework", quantities={}, start_ms=-5, end_ms=5000),
        call("vendor", parent="frame", scope="vendor", quantities={}),
        call("second", parent="frame", scope="vendor", quantities={}, start_ms=1100, end_ms=1900),
    )
    assert [records[key(name)].status for name in ("frame", "vendor", "second")] == [
        "duplicate",
        "no_usage",
        "no_usage",
    ]


def test_an_estimate_of_an_interrupted_answer_is_of_the_call_that_others_saw_without_usage() -> None:
    """Nobody states the usage, and one emitter's lengths are no second call."""
    observer = call("a", scope="openinference", emitter_rank=FRAMEWORK, end_ms=80, quantities={})
    framework = call("b", scope="pipecat", emitter_rank=FRAMEWORK, end_ms=82, quantities={})
    vendor = call("c", parent="b", scope="traceloop", start_ms=1, end_ms=900, quantities={})
    ours = call(
        "d",
        scope="callfare",
        emitter_rank=EmitterRank.GENAI,
        end_ms=83,
        quantities={"input_tokens": 313, "output_tokens": 4},
        is_estimated=True,
        issues=("estimated_from_length",),
    )
    records = in_each_order(observer, framework, vendor, ours)
    assert [each for each, record in records.items() if record.duplicate_of is None] == [key("d")]
    assert records[key("d")].quantities == {"input_tokens": 313, "output_tokens": 4}


def test_one_vendor_span_with_usage_is_enough_to_bill_the_vendors() -> None:
    """The other call's usage is unknown; the framework's sum is not billed for it."""
    records = in_each_order(
        call("frame", emitter_rank=FRAMEWORK, scope="framework", start_ms=-5, end_ms=5000),
        call("vendor", parent="frame", scope="vendor", quantities={"input_tokens": 60, "output_tokens": 5}),
        call("second", parent="frame", scope="vendor", quantities={}, start_ms=1100, end_ms=1900),
    )
    assert [records[key(name)].status for name in ("frame", "vendor", "second")] == ["duplicate", "priced", "no_usage"]


def test_a_completed_vendor_span_stays_billed_under_a_framework() -> None:
    """The framework's duplicate names the billed one."""
    records = in_each_order(
        call("frame", emitter_rank=FRAMEWORK, scope="framework", start_ms=-5, end_ms=5000, quantities=TOTAL),
        call("native", parent="frame", scope="native", emitter_rank=EmitterRank.NATIVE, quantities=TOTAL, **ONE),
        call("second", parent="frame", scope="second", quantities=TOTAL | {"cache_read_tokens": 1000}, **ONE),
    )
    assert records[key("native")].quantities == TOTAL | {"cache_read_tokens": 1000}
    assert {records[key(name)].duplicate_of for name in ("frame", "second")} == {span_id("native")}


def delta(name: str, seconds: int, number: int | None, session: str = "s", **fields: Any) -> Call:
    return call(
        name,
        provider="deepgram",
        model="nova-3",
        operation="speech_to_text",
        quantities={"audio_seconds": D(seconds)},
        session_id=session,
        session_sequence=number,
        **fields,
    )


def test_only_numbered_deltas_of_a_session_add_up() -> None:
    """A span without a session, or without a number in it, is a call of its own."""
    records = in_each_order(
        delta("a", 60, 0),
        delta("b", 30, 1),
        delta("n", 30, None),
        delta("o", 30, 1, session=""),
    )
    assert records[key("b")].session_before == {"audio_seconds": D(60)}
    for name in ("a", "n", "o"):
        assert records[key(name)].session_before is None


def test_a_delta_that_came_twice_counts_once_in_its_session() -> None:
    """The second report is a duplicate, and nothing of it precedes the next delta."""
    records = in_each_order(
        delta("a", 60, 0, call_id="request:1", scope="one"),
        delta("b", 60, 0, call_id="request:1", scope="two"),
        delta("c", 30, 1),
    )
    assert records[key("c")].session_before == {"audio_seconds": D(60)}


def test_a_total_corrects_the_audio_where_any_delta_has_audio() -> None:
    """A session may begin with a delta that has only its open time."""
    records = in_each_order(
        call(
            "a",
            operation="speech_to_text",
            quantities={"session_seconds": D(5)},
            session_id="s",
            session_sequence=0,
        ),
        delta("b", 30, 1, session_vendor_total_seconds=D(20)),
    )
    assert records[key("b")].quantities == {"audio_seconds": D(20)}
    assert records[key("a")].quantities == {"session_seconds": D(5)}


def test_sessions_and_their_operations_stay_apart() -> None:
    """What precedes a delta is what the same session reported of the same operation."""
    records = in_each_order(
        delta("a", 60, 0),
        delta("b", 30, 1, session="t"),
        call("c", operation="text_to_speech", quantities={"characters": 7}, session_id="s", session_sequence=1),
        delta("d", 30, 1),
    )
    assert [records[key(name)].session_before for name in "abc"] == [None, None, None]
    assert records[key("d")].session_before == {"audio_seconds": D(60)}


def test_a_total_takes_what_is_too_much_from_the_last_deltas() -> None:
    """None falls below 0, only the corrected ones say so, and a later delta need not repeat the total."""
    records = in_each_order(
        delta("a", 60, 0),
        delta("b", 30, 1, session_vendor_total_seconds=D(70)),
        delta("c", 5, 2),
        delta("d", 7, 3),
    )
    assert [records[key(name)].quantities["audio_seconds"] for name in "abcd"] == [60, 10, 0, 0]
    assert [records[key(name)].issues for name in "abcd"] == [(), *[("vendor_total",)] * 3]
    assert records[key("d")].session_before == {"audio_seconds": D(70)}


def test_a_total_adds_what_is_missing_to_the_last_delta() -> None:
    """Also where the last one reported none of that unit."""
    records = in_each_order(
        delta("a", 60, 0),
        call(
            "b",
            operation="speech_to_text",
            quantities={"session_seconds": D(9)},
            session_id="s",
            session_sequence=1,
            session_vendor_total_seconds=D(70),
        ),
    )
    assert records[key("a")].quantities == {"audio_seconds": D(60)}
    assert records[key("b")].quantities == {"session_seconds": D(9), "audio_seconds": D(10)}
