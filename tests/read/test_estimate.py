"""A call that says nothing of its usage may be estimated from its text, where the operator wants it and it is there."""

import json
from typing import Any

import pytest

from cost_exporter.domain.span import Call
from cost_exporter.read.estimate import with_estimates
from tests.read.otlp_spans import document, facts, request

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
MESSAGES = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "x" * 41}]}])


def estimated(attributes: dict[str, Any], *, reads_text: bool = True) -> Call:
    sent = document({**CHAT, **attributes})
    (call,) = with_estimates(facts(sent).calls, request(sent), reads_text=reads_text)
    return call


@pytest.mark.parametrize(
    ("attributes", "quantities"),
    [
        ({"gen_ai.input.messages": MESSAGES}, {"input_tokens": 11}),
        ({"gen_ai.prompt.0.content": "x" * 8, "gen_ai.prompt.1.content": "y" * 4}, {"input_tokens": 3}),
        ({"gen_ai.prompt.0.role": "user"}, {}),
        ({"input.value": "x" * 5, "output.value": "y" * 400}, {"input_tokens": 2, "output_tokens": 100}),
        ({"llm.output_messages.0.message.content": "y" * 4}, {"output_tokens": 1}),
        ({"output.value": "[not json"}, {"output_tokens": 3}),
        ({"output.value": json.dumps({"n": 1, "text": "yyyy", "more": ["zzzz"]})}, {"output_tokens": 2}),
        ({}, {}),
    ],
)
def test_four_characters_are_a_token(attributes: dict[str, str], quantities: dict[str, int]) -> None:
    """Rounded up, input and output apart, from the richest place alone; marked, and without text nothing."""
    call = estimated(attributes)
    assert call.usage.quantities == quantities
    assert call.usage.is_estimated is bool(quantities)
    assert ("estimated_from_text" in call.issues) is bool(quantities)


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 1},
        {"gen_ai.operation.name": "embeddings"},
    ],
)
def test_what_is_known_or_not_a_chat_is_left_alone(attributes: dict[str, Any]) -> None:
    """A meter reading beats a guess, and only answers of language models are guessed at."""
    assert not estimated({**attributes, "input.value": "x" * 40}).usage.is_estimated


def test_calls_of_other_requests_are_left_alone() -> None:
    """A call whose span is not at hand stays as it is."""
    calls = facts(document(CHAT)).calls
    assert list(with_estimates(calls, [], reads_text=True)) == list(calls)


ASKED, CAME = "callfare.request.input_characters", "callfare.response.output_characters"
SPEECH = {"gen_ai.operation.name": "text_to_speech"}


@pytest.mark.parametrize(
    ("attributes", "quantities"),
    [
        ({ASKED: 41}, {"input_tokens": 11}),
        ({ASKED: 40, CAME: 1}, {"input_tokens": 10, "output_tokens": 1}),
        ({ASKED: 40, CAME: 0}, {"input_tokens": 10, "output_tokens": 0}),
        ({**SPEECH, ASKED: 33}, {"characters": 33}),
        ({**SPEECH, CAME: 33}, {}),
        ({ASKED: 0}, {}),
        ({ASKED: -1}, {}),
        ({ASKED: 50_000_001}, {}),
        ({ASKED: "many"}, {}),
        ({"input.value": "x" * 40}, {}),
    ],
)
def test_lengths_are_an_estimate_without_being_asked_for(
    attributes: dict[str, Any], quantities: dict[str, int]
) -> None:
    """What was asked and what came back, within bounds; text is not looked at."""
    call = estimated(attributes, reads_text=False)
    assert call.usage.quantities == quantities
    assert call.usage.is_estimated is bool(quantities)
    assert ("estimated_from_length" in call.issues) is bool(quantities)


@pytest.mark.parametrize("attributes", [{"gen_ai.usage.input_tokens": 3}, {"callfare.call.refused": True}])
def test_lengths_say_nothing_of_what_is_known(attributes: dict[str, Any]) -> None:
    """A meter reading, or that the vendor did no work."""
    assert not estimated({**attributes, ASKED: 40}, reads_text=False).usage.is_estimated


def test_a_length_that_cannot_be_read_is_none() -> None:
    """The bytes of a number that breaks off."""
    sent = document({**CHAT, ASKED: 40})
    spans = request(sent)
    attributes = spans[0].scope_spans[0].spans[0].attributes
    attributes[ASKED] = b"\x18\xff"
    (call,) = with_estimates(facts(sent).calls, spans, reads_text=False)
    assert call.usage.quantities == {}
