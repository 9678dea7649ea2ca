"""A call that says nothing of its usage may be estimated from its text, where the operator wants it and it is there."""

import json
from typing import Any

import pytest

from cost_exporter.domain.span import Call
from cost_exporter.read.estimate import with_estimates
from tests.read.otlp_spans import document, facts, request

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
MESSAGES = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "x" * 41}]}])


def estimated(attributes: dict[str, Any]) -> Call:
    sent = document({**CHAT, **attributes})
    (call,) = with_estimates(facts(sent).calls, request(sent))
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
    assert list(with_estimates(calls, [])) == list(calls)
