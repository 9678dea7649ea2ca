"""Spans of one call that differ in what they report: one call, and the bill takes every part that any of them knows."""

from decimal import Decimal as D
from typing import Any

import pytest

from cost_exporter.domain.settling.finest_split import finest_split
from cost_exporter.domain.span import Call, EmitterRank
from tests.domain.builders import billed, call, key, settled, span_id

WHOLE = {"input_tokens": 1049, "output_tokens": 221}
SPLIT = WHOLE | {"cache_read_tokens": 107, "reasoning_tokens": 27}


def plain(name: str, **fields: Any) -> Call:
    """The preferred instrumentation, which reports the totals alone."""
    defaults: dict[str, Any] = {
        "scope": "sdk",
        "emitter_rank": EmitterRank.GENAI,
        "quantities": WHOLE,
        "start_ms": 1,
        "end_ms": 999,
    }
    return call(name, **defaults | fields)


def detailed(name: str, **fields: Any) -> Call:
    """A framework's span that knows more."""
    defaults: dict[str, Any] = {"scope": "framework", "emitter_rank": EmitterRank.FRAMEWORK, "quantities": SPLIT}
    return call(name, **defaults | fields)


@pytest.mark.parametrize("parent", ["root", "d"])
def test_what_one_does_not_report_makes_no_second_call(parent: str) -> None:
    """Side by side and above one another: billed once, with the cached and reasoning tokens of the other."""
    records = settled(plain("p", parent=parent), detailed("d"))
    record = records[key("p")]
    assert (record.status, record.quantities) == ("priced", SPLIT)
    assert record.issues == (f"completed_by:{span_id('d').hex()}",)
    assert records[key("d")].status == "duplicate"


def test_calls_one_after_the_other_stay_two() -> None:
    """Two calls of one size, each told twice, one teller without the cached tokens."""
    later = {"start_ms": 2000, "end_ms": 3000}
    spans = [plain("p"), detailed("d"), plain("q", **later), detailed("e", **later)]
    assert billed(*spans) == {span_id("p"), span_id("q")}


def test_what_both_report_decides_first() -> None:
    """Four spans at once: those that say the same are one call, before those that say less."""
    spans = [
        plain("p", quantities=SPLIT),
        plain("q", quantities=SPLIT | {"cache_read_tokens": 900}),
        detailed("d", quantities=SPLIT | {"cache_read_tokens": 900}),
        detailed("e"),
    ]
    records = settled(*spans)
    assert records[key("d")].duplicate_of == span_id("q")
    assert records[key("e")].duplicate_of == span_id("p")


@pytest.mark.parametrize(
    "different",
    [{"cache_read_tokens": 108}, {"reasoning_tokens": 26}, {"cache_write_tokens": 4, "cache_read_tokens": 1}],
)
def test_parts_that_both_report_and_that_differ_are_two_calls(different: dict[str, int]) -> None:
    """A contradiction is none between what is said and what is not."""
    assert len(billed(plain("p", quantities=SPLIT | different), detailed("d"))) == 2


def test_what_was_written_to_the_cache_is_compared_too() -> None:
    """Both report it, and not the same: two calls, of which one may have found what the other wrote."""
    written = SPLIT | {"cache_write_tokens": 100}
    assert (
        len(billed(plain("p", quantities=written | {"cache_write_tokens": 90}), detailed("d", quantities=written))) == 2
    )


def test_a_part_of_nothing_is_not_reported() -> None:
    """Some write 0 for what they do not know."""
    record = settled(plain("p", quantities=WHOLE | {"cache_read_tokens": 0}), detailed("d"))[key("p")]
    assert record.quantities == SPLIT


@pytest.mark.parametrize("scope", ["sdk", "framework"])
def test_the_output_of_a_stream_that_was_left_is_the_parents(scope: str) -> None:
    """The SDK's span ended with the break and knows the split of the input, the one above counted to the end."""
    vendor = {"input_tokens": 20622, "cache_read_tokens": 5343, "cache_write_tokens": 10186}
    split = {"cache_write_5m_tokens": 5103, "cache_write_1h_tokens": 5083}
    outer = call("o", scope="framework", quantities=vendor | {"output_tokens": 15229}, end_ms=6000)
    inner = call("i", parent="o", scope=scope, emitter_rank=EmitterRank.NATIVE, quantities=vendor | split)
    if scope == "framework":
        assert len(billed(outer, inner)) == 2  # one scope reports alike: these are two
        return
    record = settled(outer, inner)[key("i")]
    assert record.quantities == vendor | split | {"output_tokens": 15229}
    assert record.issues == (f"completed_by:{span_id('o').hex()}",)


def test_a_part_that_does_not_fit_is_not_taken() -> None:
    """More reasoning than output, more cached than went in: whoever says so is not believed."""
    wrong = detailed("d", call_id="response:1", quantities=WHOLE | {"cache_read_tokens": 2000})
    assert settled(plain("p", call_id="response:1"), wrong)[key("p")].quantities == WHOLE


def test_parts_of_another_total_are_not_taken() -> None:
    """Of one id, but counted otherwise: the input without what was cached, an output of other tokens."""
    other = detailed("d", call_id="response:1", quantities=SPLIT | {"input_tokens": 942, "output_tokens": 230})
    assert settled(plain("p", call_id="response:1"), other)[key("p")].quantities == WHOLE
    near = detailed("d", call_id="response:1", quantities=SPLIT | {"input_tokens": 942, "output_tokens": 222})
    assert settled(plain("p", call_id="response:1"), near)[key("p")].quantities == WHOLE | {"reasoning_tokens": 27}


def test_an_estimate_completes_only_an_estimate() -> None:
    """A guess is no count."""
    same: dict[str, Any] = {"call_id": "response:1"}
    guess = detailed("d", is_estimated=True, **same)
    assert settled(plain("p", **same), guess)[key("p")].quantities == WHOLE
    assert settled(plain("p", is_estimated=True, **same), guess)[key("p")].quantities == SPLIT


def test_each_teller_gives_what_the_better_ones_do_not() -> None:
    """Of three, the second best knows what was cached, the third the audio in it."""
    same: dict[str, Any] = {"call_id": "response:1"}
    better = detailed("d", emitter_rank=EmitterRank.TRACELOOP, quantities=WHOLE | {"cache_read_tokens": 107}, **same)
    other = detailed("e", quantities=WHOLE | {"cache_read_tokens": 100, "input_audio_tokens": 40}, **same)
    record = settled(plain("p", **same), better, other)[key("p")]
    assert record.quantities == WHOLE | {"cache_read_tokens": 107, "input_audio_tokens": 40}
    assert len(record.issues) == 2


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"characters": 40}, {"characters": 40, "audio_seconds": D(2)}),
        ({"output_tokens": 9}, {"input_tokens": 30, "output_tokens": 9}),
        ({"input_tokens": 30}, {"input_tokens": 31, "output_tokens": 9}),
        ({}, SPLIT),
    ],
)
def test_what_cannot_be_completed_stays(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Alternative meters are never put together, an input is not made up, and without usage another span is billed."""
    same: dict[str, Any] = {"call_id": "response:1"}
    records = settled(plain("p", quantities=mine, **same), detailed("d", is_estimated=True, quantities=theirs, **same))
    records |= settled(plain("q", quantities=mine, **same), detailed("e", quantities=theirs, **same))
    assert all("completed_by" not in str(record.issues) for record in records.values())


def test_deltas_of_a_session_are_not_completed() -> None:
    """What a session took is corrected by its own rule."""
    same: dict[str, Any] = {"session_id": "s", "session_sequence": 0}
    record = settled(plain("p", **same), detailed("d", **same))[key("p")]
    assert record.quantities == WHOLE


@pytest.mark.parametrize(("input_tokens", "is_taken"), [(1048, False), (1049, True), (1050, False)])
def test_the_parts_of_another_input_are_not_taken(input_tokens: int, is_taken: bool) -> None:
    """An output may be counted two tokens apart, an input not: one token more is another prompt."""
    other = detailed("d", quantities={"input_tokens": input_tokens, "cache_read_tokens": 107}, call_id="response:1")
    record = settled(plain("p", call_id="response:1"), other)[key("p")]
    assert ("cache_read_tokens" in record.quantities) is is_taken


def test_nothing_is_made_of_a_call_that_reports_nothing() -> None:
    """There is nothing to compare with, so another span's counts may be of another call."""
    nothing = plain("p", quantities={})
    assert finest_split(nothing, [detailed("d", quantities={"input_tokens": 0, "output_tokens": 5})]) == ({}, [])


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"input_tokens": 1}, {"output_tokens": 5}),
        ({"input_tokens": 2}, {"output_tokens": 5}),
        ({"characters": 9}, {"input_tokens": 1, "output_tokens": 5}),
        ({"characters": 9}, {"output_tokens": 5}),
    ],
)
def test_an_output_is_not_taken_where_the_input_is_not_known_to_be_the_same(
    mine: dict[str, int], theirs: dict[str, int]
) -> None:
    """An input that one of them does not report agrees with nothing."""
    assert finest_split(plain("p", quantities=mine), [detailed("d", quantities=theirs)]) == (mine, [])


def test_an_output_is_taken_with_its_parts() -> None:
    """Of a stream that was left early the input alone is known; the other span read it to its end."""
    other = detailed("d", quantities=WHOLE | {"reasoning_tokens": 27})
    expected = (WHOLE | {"reasoning_tokens": 27}, [0])
    assert finest_split(plain("p", quantities={"input_tokens": 1049}), [other]) == expected


@pytest.mark.parametrize("parent", ["root", "d"])
@pytest.mark.parametrize(
    ("first_words", "whole", "expected"),
    [
        (1, 221, 221),
        (8, 221, 221),
        (20, 221, 20),  # too much for the start of a stream: two calls, or another answer
        (3, 6, 3),  # a count that is a little off is no stream left early
    ],
)
def test_the_end_of_a_stream_left_early_is_billed(parent: str, first_words: int, whole: int, expected: int) -> None:
    """The preferred span saw the start of the stream only; a span of the same call saw its end."""
    fields: dict[str, Any] = {"call_id": "response:r1"} if parent == "root" else {}
    left_early = plain("p", parent=parent, quantities=WHOLE | {"output_tokens": first_words}, **fields)
    records = settled(left_early, detailed("d", quantities=WHOLE | {"output_tokens": whole}, **fields))
    quantities = records[key("p")].quantities
    assert (quantities or {})["output_tokens"] == expected
    assert records[key("d")].status == "duplicate"


def test_a_gateway_knows_the_model_that_its_client_does_not() -> None:
    """By the response id they are one call; what the gateway asked for is billed, whatever the client calls it."""
    client = plain("p", model="fast", call_id="response:r1", emitter_rank=EmitterRank.NATIVE)
    gateway = plain("d", call_id="response:r1", emitter_rank=EmitterRank.GATEWAY, scope="gateway")
    assert billed(client, gateway) == {span_id("d")}
