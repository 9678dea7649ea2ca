"""Spans that tell of no provider call and look like one."""

from typing import Any

import pytest

from cost_exporter.domain.span import Call
from tests.read.otlp_spans import CHAT, document, facts

AGENT = {**CHAT, "gen_ai.operation.name": "invoke_agent"}


def look_alike(attributes: dict[str, Any], **span: Any) -> Call | None:
    """Return what a span looks like; it is a link whatever that is."""
    found = facts(document(attributes, kind=1, **span))
    assert (len(found.calls), len(found.links)) == (0, 1), found
    return found.look_alikes[0] if found.look_alikes else None


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        (AGENT, "gen_ai.request.model"),
        ({**AGENT, "gen_ai.usage.input_tokens": 9}, "gen_ai.usage.input_tokens, gen_ai.request.model"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.output_tokens": 9}, "gen_ai.usage.output_tokens"),
        ({"foo.task.input_tokens": 9}, "foo.task.input_tokens"),
        ({"ai.operationId": "ai.streamText", "ai.model.id": "m", "ai.model.provider": "openai.chat"}, "ai.model.id"),
    ],
)
def test_tokens_or_a_model_and_its_vendor_look_like_a_call(attributes: dict[str, Any], names: str) -> None:
    """It is named by what it looks like, and says no usage of its own."""
    found = look_alike(attributes)
    assert found is not None
    assert (found.usage.quantities, found.call_id, found.usage.operation) == ({}, "", "chat")
    assert found.issues == (f"looks_like_a_call: {names}",)
    assert look_alike(attributes) == found  # the second may go the short way


@pytest.mark.parametrize(
    "attributes",
    [
        {**AGENT, "gen_ai.operation.name": "create_agent"},
        {**AGENT, "gen_ai.operation.name": "execute_tool"},
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "m"},
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "openai"},
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.output_tokens": 0},
        {"foo.task.input_tokens": "none"},
        {"foo.task.tokens": 9},
        {"foo.task.max_input_tokens": 9},
        {"http.request.method": "GET"},
    ],
)
def test_what_asks_no_model_looks_like_nothing(attributes: dict[str, Any]) -> None:
    """An agent that is made, a tool, a name alone, a limit."""
    assert look_alike(attributes) is None
