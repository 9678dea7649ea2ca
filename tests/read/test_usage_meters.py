"""What was used: the vendor's meter, phone calls, sessions, input and its parts, requests, paid extras."""

from decimal import Decimal
from typing import Any

import pytest

from tests.read.otlp_spans import CHAT, call

INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
D = Decimal


def billed(operation: str, quantity: float, unit: str, **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.usage.billed_quantity": quantity,
        "gen_ai.usage.billed_unit": unit,
        **more,
    }


@pytest.mark.parametrize(
    ("attributes", "quantities"),
    [
        (billed("text_to_speech", 6.0, "credit"), {"credits": D("6.0")}),
        (billed("text_to_speech", 6.0, "Credits"), {"credits": D("6.0")}),
        (billed("text_to_speech", 12.0, "character"), {"characters": 12}),
        (billed("text_to_speech", 2.0, "second"), {"output_audio_seconds": D("2.0")}),
        (billed("speech_to_text", 2, "minute"), {"audio_seconds": 120}),
        (billed("speech_to_text", 0.5, "hour"), {"audio_seconds": D("1800.0")}),
        (billed("chat", 2, "second"), {"session_seconds": 2}),
        (billed("retrieval", 6.0, "read_unit"), {"read_units": D("6.0")}),
        (billed("rerank", 1, "rerank_unit"), {"rerank_units": 1}),
        (billed("phone_call", 2.0, "minute"), {"call_seconds": D("120.0"), "calls": 1}),
    ],
)
def test_the_vendors_meter_is_taken(attributes: dict[str, Any], quantities: dict[str, Any]) -> None:
    """By unit, and for seconds by operation."""
    assert call(attributes).usage.quantities == quantities


def test_the_vendors_meter_outranks_the_clients() -> None:
    """13 billed seconds of 12.4 sent."""
    found = call(billed("speech_to_text", 13.0, "second", **{"gen_ai.usage.audio.input_seconds": 12.4}))
    assert found.usage.quantities == {"audio_seconds": D("13.0")}


def test_a_unit_nobody_knows_is_said() -> None:
    """It is not silently something else; a quantity without unit is nothing."""
    assert call(billed("chat", 3, "bushel")).issues == ("unknown_billed_unit",)
    assert call(billed("chat", 3, "")).usage.quantities == {}
    assert call(billed("chat", 3, "credit") | {"gen_ai.usage.billed_quantity": "x"}).usage.quantities == {}
    assert "impossible_count:characters" in call(billed("text_to_speech", 1.5, "character")).issues


@pytest.mark.parametrize(
    ("characters", "credits_", "issues"),
    [
        (100, 100.0, ()),
        (100, 50.0, ()),
        (13, 7.0, ()),  # half a credit, rounded
        (100, 300.0, ("credits_per_character: 3",)),
        (100, 150.0, ("credits_per_character: 1.5",)),
        (30, 100.0, ("credits_per_character: 3.33",)),
        (0, 5.0, ()),
        (None, 314.0, ()),
    ],
)
def test_a_voice_with_a_rate_of_its_own_is_named(
    characters: int | None, credits_: float, issues: tuple[str, ...]
) -> None:
    """The price goes by characters: credits that tell of another rate are not passed over in silence."""
    stated = {} if characters is None else {"gen_ai.usage.input_characters": characters}
    assert call(billed("text_to_speech", credits_, "credits", **stated)).issues == issues


@pytest.mark.parametrize(
    ("attributes", "quantities"),
    [
        ({"telephony.call.duration_seconds": 75}, {"call_seconds": 75, "calls": 1}),
        ({"gen_ai.usage.session_seconds": 75.5}, {"call_seconds": D("75.5"), "calls": 1}),
        (
            {"telephony.call.duration_seconds": 75, **billed("phone_call", 2, "minute")},
            {"call_seconds": 75, "calls": 1},
        ),
        ({"telephony.call.status": "no-answer"}, {"call_seconds": 0, "calls": 0}),
        ({"telephony.call.status": "queued"}, {}),
    ],
)
def test_a_phone_call_is_so_many_seconds(attributes: dict[str, Any], quantities: dict[str, Any]) -> None:
    """Without a length it is not known what it used, unless it never came about."""
    found = call({"gen_ai.operation.name": "phone_call", "telephony.call.id": "CA1", **attributes})
    assert found.usage.quantities == quantities
    assert found.call_id == "phone:CA1"


def test_a_phone_call_without_id_is_not_identified() -> None:
    """An empty id identifies nothing; a response id still would."""
    attributes = {"gen_ai.operation.name": "phone_call", "telephony.call.id": ""}
    assert call(attributes).call_id == ""
    assert call({**attributes, "gen_ai.response.id": "r1"}).call_id == "response:r1"


def test_deltas_of_a_session_are_numbered() -> None:
    """(session id, sequence) is their identity; the vendor's total comes with the last."""
    attributes = {
        "gen_ai.operation.name": "speech_to_text",
        "gen_ai.usage.audio.input_seconds": 5.35,
        "gen_ai.usage.session.id": "s1",
        "gen_ai.usage.session.sequence": 2,
        "gen_ai.usage.session.state": "closed",
        "gen_ai.usage.session.vendor_total_seconds": 125.35,
    }
    found = call(attributes)
    assert (found.session_id, found.session_sequence, found.session_is_closed) == ("s1", 2, True)
    assert found.session_vendor_total_seconds == D("125.35")
    assert found.usage.mode == "stream"


@pytest.mark.parametrize("sequence", [-1, 1.5, "x", None])
def test_an_impossible_sequence_is_none(sequence: Any) -> None:
    """And a session without id is none."""
    attributes = {
        "gen_ai.operation.name": "speech_to_text",
        "gen_ai.usage.session.id": "s1",
        "gen_ai.usage.session.sequence": sequence,
        "gen_ai.usage.session.vendor_total_seconds": -1,
    }
    found = call(attributes)
    assert (found.session_sequence, found.session_vendor_total_seconds) == (None, None)
    assert call({**attributes, "gen_ai.usage.session.id": ""}).session_id == ""


@pytest.mark.parametrize(
    ("attributes", "provider", "is_exclusive"),
    [
        ({INPUT: 50, "gen_ai.usage.cache_read.input_tokens": 1000}, "anthropic", True),
        ({INPUT: 50, "gen_ai.usage.cache_read.input_tokens": 1000}, "aws.bedrock", True),
        ({INPUT: 50, "gen_ai.usage.cache_read.input_tokens": 1000}, "openai", True),
        ({INPUT: 1350, "gen_ai.usage.cache_read.input_tokens": 1000}, "anthropic", False),
        ({"gen_ai.usage.cache_read.input_tokens": 1000}, "anthropic", False),
    ],
)
def test_exclusive_input_is_made_inclusive_where_that_is_certain(
    attributes: dict[str, Any], provider: str, is_exclusive: bool
) -> None:
    """Providers that count so, and a part that exceeds its whole."""
    found = call({**CHAT, "gen_ai.provider.name": provider, **attributes})
    assert ("exclusive_input" in found.issues) == is_exclusive
    assert found.usage.quantities.get("input_tokens") == (1050 if is_exclusive else attributes.get(INPUT))


CACHED, THOUGHTS = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.reasoning.output_tokens"


@pytest.mark.parametrize(
    ("attributes", "scope", "issue", "totals"),
    [
        ({INPUT: 50, CACHED: 1000, OUTPUT: 5}, "some.scope", "assumed_exclusive", (1050, 5)),
        ({INPUT: 50, CACHED: 1000, OUTPUT: 5, "gen_ai.usage.total_tokens": 1055}, "some.scope", "", (1050, 5)),
        ({INPUT: 50, CACHED: 1000, OUTPUT: 5}, "@mastra/otel", "", (50, 5)),
        ({INPUT: 50, OUTPUT: 5, THOUGHTS: 64}, "some.scope", "assumed_exclusive", (50, 69)),
        ({INPUT: 50, OUTPUT: 5, THOUGHTS: 64, "gen_ai.usage.total_tokens": 119}, "some.scope", "", (50, 69)),
        ({INPUT: 50, OUTPUT: 5, THOUGHTS: 64}, "@mastra/otel", "", (50, 5)),
    ],
)
def test_a_part_beyond_its_whole_from_an_unknown_emitter_makes_an_estimate(
    attributes: dict[str, Any], scope: str, issue: str, totals: tuple[int, int]
) -> None:
    """It was counted beside the total, or it is wrong; an emitter known to count inclusively made a mistake."""
    found = call({**CHAT, **attributes}, scope=scope)
    assert (found.usage.quantities["input_tokens"], found.usage.quantities["output_tokens"]) == totals
    assert found.usage.is_estimated == bool(issue)
    assert [each for each in found.issues if each.startswith("assumed")] == [
        each for each in found.issues if issue and each.startswith(issue)
    ]


def test_claude_at_google_counts_exclusively_too() -> None:
    """The API is Anthropic's, whoever resells it."""
    found = call(
        {
            **CHAT,
            "gen_ai.provider.name": "gcp.vertex_ai",
            "gen_ai.response.model": "claude-sonnet-4-5",
            INPUT: 5,
            "gen_ai.usage.cache_read.input_tokens": 10,
        }
    )
    assert found.usage.quantities["input_tokens"] == 15


def test_parts_of_cache_writes_make_their_total() -> None:
    """Where only the 5 min and 1 h parts are given, and then the input is exclusive by arithmetic."""
    prefix = "anthropic.usage.cache_creation.ephemeral_"
    found = call(
        {
            **CHAT,
            "gen_ai.provider.name": "anthropic",
            INPUT: 50,
            prefix + "5m_input_tokens": 200,
            prefix + "1h_input_tokens": 100,
        }
    )
    assert found.usage.quantities["cache_write_tokens"] == 300
    assert found.usage.quantities["input_tokens"] == 350


@pytest.mark.parametrize(
    ("attributes", "quantities"),
    [
        ({INPUT: 0, OUTPUT: 0}, {}),
        ({INPUT: 0, OUTPUT: 5}, {"input_tokens": 0, "output_tokens": 5}),
        ({INPUT: 0, OUTPUT: 0, "gen_ai.usage.input_characters": 9}, {"characters": 9}),
        ({INPUT: 0, "gen_ai.usage.cache_read.input_tokens": 3}, {"input_tokens": 3, "cache_read_tokens": 3}),
        ({INPUT: 7, OUTPUT: 2, "gen_ai.usage.cache_read.input_tokens": 0}, {"input_tokens": 7, "output_tokens": 2}),
        ({"gen_ai.usage.input_characters": 0}, {"characters": 0}),
    ],
)
def test_zeros(attributes: dict[str, Any], quantities: dict[str, Any]) -> None:
    """All-zero tokens mean unknown, zero parts mean nothing, a zero beside a count means zero."""
    assert call({**CHAT, **attributes}).usage.quantities == quantities


@pytest.mark.parametrize(("operation", "quantities"), [("retrieval", {"requests": 1}), ("moderation", {"requests": 1})])
def test_some_operations_are_metered_by_the_request(operation: str, quantities: dict[str, int]) -> None:
    """Where nothing finer is said."""
    assert call({**CHAT, "gen_ai.operation.name": operation}).usage.quantities == quantities


def recognition(extras: object, **more: Any) -> dict[str, Any]:
    return {"gen_ai.operation.name": "speech_to_text", "callfare.usage.extras": extras, **more}


def test_paid_extras_are_counted_and_named() -> None:
    """What a vendor charges on top of what it meters: nothing prices it, so the figure must not look whole."""
    found = call(recognition("redact,diarize", **{"gen_ai.usage.audio.input_seconds": 60.0}))
    assert found.usage.quantities == {"audio_seconds": 60, "paid_extras": 2}
    assert found.issues == ("paid_extras: diarize, redact",)


@pytest.mark.parametrize("extras", ["", "two words,+49 30 1234567", 7])
def test_what_names_no_extra_is_none(extras: object) -> None:
    """Names only: nothing else gets into an issue."""
    found = call(recognition(extras, **{"gen_ai.usage.audio.input_seconds": 60.0}))
    assert (found.usage.quantities, found.issues) == ({"audio_seconds": 60}, ())


def test_extras_of_nothing_cost_nothing() -> None:
    """Where no audio went, or its length is unknown, they change no status."""
    silent = call(
        recognition("diarize", **{"gen_ai.usage.audio.input_seconds": 0.0, "gen_ai.usage.session_seconds": 9.0})
    )
    assert "paid_extras" not in silent.usage.quantities
    assert call(recognition("diarize")).usage.quantities == {}
