"""How long a caller waited and how a conversation went, as frameworks and our own spans report it."""

import json
from decimal import Decimal as D
from typing import Any

import pytest

from cost_exporter.domain.timing import Timing
from cost_exporter.read.request import read_request
from tests.read.otlp_spans import CHAT, RECEIVED_AT_UNIX_NS, document, facts, request

INPUT = "gen_ai.usage.input_tokens"
FIRST = "gen_ai.response.time_to_first_chunk"
SPEECH = {"gen_ai.operation.name": "text_to_speech", "gen_ai.provider.name": "elevenlabs", "gen_ai.request.model": "m"}


def timings(attributes: dict[str, Any], **span: Any) -> list[Timing]:
    return list(facts(document(attributes, **span)).timings)


def test_the_first_piece_of_a_models_answer_is_a_token() -> None:
    """With whose it is and when, so that it can be compared by model and agent."""
    (found,) = timings({**CHAT, INPUT: 5, FIRST: 0.25, "callfare.tenant.id": "acme"})
    assert (found.time_to_first_token_seconds, found.time_to_first_audio_seconds) == (D("0.25"), None)
    assert (found.tenant, found.provider, found.operation) == ("acme", "openai", "chat")
    assert found.model


@pytest.mark.parametrize(
    ("attributes", "span"),
    [
        ({**SPEECH, FIRST: 0.4}, {}),
        ({"metrics.ttfb": 0.4, "gen_ai.operation.name": "tts", "gen_ai.provider.name": "x"}, {"scope": "pipecat"}),
        ({"lk.tts_metrics": json.dumps({"ttfb": 0.4, "characters_count": 3})}, {"scope": "livekit-agents"}),
    ],
)
def test_the_first_piece_of_speech_is_audio(attributes: dict[str, Any], span: dict[str, Any]) -> None:
    """By the conventions, by Pipecat's tracing, and in LiveKit's JSON."""
    (found,) = timings(attributes, **span)
    assert (found.time_to_first_token_seconds, found.time_to_first_audio_seconds) == (None, D("0.4"))


def test_the_root_of_a_call_says_how_it_went() -> None:
    """It is no provider call; a half of a turn is none."""
    turns = {
        "callfare.call.turn_count": 9,
        "callfare.call.interruption_count": 2,
        "callfare.call.dead_air_seconds": 3.5,
    }
    (found,) = timings({"gen_ai.operation.name": "invoke_workflow", "callfare.workflow.name": "voice call", **turns})
    assert (found.turn_count, found.interruption_count, found.dead_air_seconds) == (9, 2, D("3.5"))
    assert (found.operation, found.time_to_first_token_seconds) == ("", None)


@pytest.mark.parametrize("number", [-1, -0.5, 90_000.0, "soon", True, float("nan")])
def test_what_is_no_duration_is_left_out(number: object) -> None:
    """LiveKit writes -1 where nothing came."""
    assert timings({**CHAT, INPUT: 5, FIRST: number}) == []


@pytest.mark.parametrize("number", [2.5, -1, 10**7, "many"])
def test_what_is_no_count_is_left_out(number: object) -> None:
    """The rest of the span is read."""
    name = {"gen_ai.operation.name": "invoke_workflow", "callfare.workflow.name": "voice call"}
    assert timings({**name, "callfare.call.turn_count": number}) == []


def test_a_recognisers_first_piece_is_neither() -> None:
    """It is a transcript, and comes when the caller pauses."""
    recognition = {
        "gen_ai.operation.name": "speech_to_text",
        "gen_ai.usage.audio.input_seconds": 3.0,
        "metrics.ttfb": 0.2,
    }
    assert timings(recognition) == []


def test_a_frameworks_span_that_is_not_billed_is_not_timed() -> None:
    """Our instrumentation describes the same call; of ours both are the same call's only words."""
    attributes = {**CHAT, INPUT: 5, "metrics.ttfb": 0.2, "gen_ai.usage.billable": False}
    assert timings(attributes, scope="pipecat") == []
    assert len(timings(attributes, scope="callfare.instrumentation.pipecat")) == 1


def test_a_number_that_cannot_be_read_costs_nothing_else() -> None:
    """A list in its place is none."""
    found = facts(document({**CHAT, INPUT: 5, FIRST: [1, 2]}))
    assert (len(found.calls), list(found.timings), found.dead_letters) == (1, [], [])
    decoded = request(document({**CHAT, INPUT: 5, FIRST: 0.5}))
    decoded[0].scope_spans[0].spans[0].attributes[FIRST] = b"\x19\x01"  # a number that breaks off
    found = read_request(decoded, namespace="default", received_at_unix_ns=RECEIVED_AT_UNIX_NS, tenant_is_trusted=True)
    assert (len(found.calls), list(found.timings), found.dead_letters) == (1, [], [])


def test_a_look_alike_is_timed_as_no_call() -> None:
    """What it would be is not known."""
    assert timings({"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "m", FIRST: 0.2}) == []
