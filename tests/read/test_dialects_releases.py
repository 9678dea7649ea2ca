"""Emitters whose releases count differently: MLflow and Claude Code."""

import json
from typing import Any

import pytest

from tests.read.otlp_spans import CHAT, call, is_link

CLAUDE_CODE = "com.anthropic.claude_code.tracing"
REQUEST = {"span.type": "llm_request", "gen_ai.request.model": "claude-haiku-4-5", "input_tokens": 10}
MLFLOW = {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.llm.model": '"claude-sonnet-4-5"'}
USAGE = {"input_tokens": 50, "output_tokens": 9, "total_tokens": 59, "cache_read_input_tokens": 40}


def mlflow(usage: dict[str, int], **attributes: str) -> Any:
    named = {name.replace("_", ".", 1): value for name, value in attributes.items()}
    return call({**MLFLOW, "mlflow.chat.tokenUsage": json.dumps(usage), **named}, scope="mlflow.tracing.provider")


def test_claude_code_names_its_counts_barely() -> None:
    """A count of 0 says nothing; what is no request of a model is no call."""
    found = call({**REQUEST, "output_tokens": 12, "cache_read_tokens": 0}, scope=CLAUDE_CODE).usage
    assert (found.provider, found.quantities) == ("anthropic", {"input_tokens": 10, "output_tokens": 12})
    assert is_link({**REQUEST, "span.type": "interaction"}, scope=CLAUDE_CODE)


@pytest.mark.parametrize(
    ("stated", "issues", "is_incomplete"),
    [
        (50, (), False),
        (10, ("conflicting_usage: input_tokens = 50 with what was cached, gen_ai.usage.input_tokens = 10",), True),
        (70, ("conflicting_usage: input_tokens = 50 with what was cached, gen_ai.usage.input_tokens = 70",), False),
    ],
)
def test_claude_codes_two_inputs_are_one(stated: int, issues: tuple[str, ...], is_incomplete: bool) -> None:
    """The conventions' name includes what was cached, the bare one does not."""
    both = {"gen_ai.usage.input_tokens": stated, "output_tokens": 12, "cache_read_tokens": 30}
    found = call({**REQUEST, **both, "cache_creation_tokens": 10}, scope=CLAUDE_CODE)
    cached = {"cache_read_tokens": 30, "cache_write_tokens": 10}
    assert found.usage.quantities == {"input_tokens": stated, "output_tokens": 12, **cached}
    assert (found.issues, found.usage.is_estimated, found.usage.is_incomplete) == (issues, bool(issues), is_incomplete)
    without = {name: both.get(name, REQUEST[name]) for name in ("span.type", "gen_ai.request.model")}
    alone = call({**without, "gen_ai.usage.input_tokens": stated}, scope=CLAUDE_CODE)
    assert (alone.usage.quantities, alone.issues) == ({"input_tokens": stated}, ())


def test_claude_code_says_at_which_speed_it_was_answered() -> None:
    """Fast answers cost more; a refusal has its status."""
    assert call({**REQUEST, "speed": "fast"}, scope=CLAUDE_CODE).usage.speed == "fast"
    assert call({**REQUEST, "speed": "normal"}, scope=CLAUDE_CODE).usage.speed == ""
    asked = {name: REQUEST[name] for name in ("span.type", "gen_ai.request.model")}
    assert call({**asked, "status_code": 429}, scope=CLAUDE_CODE).usage.is_refused


def test_mlflow_tells_a_call_by_its_span_type() -> None:
    """Every value is JSON; sums above the calls are no calls; spans of others that it writes to stay calls."""
    found = mlflow({**USAGE, "foo_tokens": 3})
    assert found.usage.provider == "anthropic"
    assert "unread_usage: mlflow.chat.tokenUsage.foo_tokens = 3" in found.issues
    assert is_link({**MLFLOW, "mlflow.spanType": '"AGENT"'}, scope="mlflow")
    assert call({"mlflow.chat.tokenUsage": "{}", **CHAT}, scope="mlflow").usage.provider == "openai"
    stamped = {**CHAT, "gen_ai.usage.input_tokens": 7, "mlflow.spanType": "null"}
    assert call(stamped).usage.quantities == {"input_tokens": 7}


def test_mlflows_input_depends_on_its_release() -> None:
    """From 3.13 on, which its level shows, it includes what was cached; before, arithmetic or the answer shows it."""
    assert mlflow(USAGE, mlflow_spanLogLevel="20").usage.quantities["input_tokens"] == 50
    assert mlflow(USAGE, mlflow_spanLogLevel="20").issues == ("assumed_provider",)
    unknown = mlflow(USAGE)
    assert (unknown.usage.quantities["input_tokens"], unknown.usage.is_estimated) == (50, True)
    assert mlflow({**USAGE, "input_tokens": 30}).usage.quantities["input_tokens"] == 70
    without = {name: USAGE[name] for name in ("input_tokens", "output_tokens")}
    lost = mlflow(without)
    assert "not_reported: cache_read_tokens, cache_write_tokens" in lost.issues
    assert lost.usage.is_estimated
    assert not mlflow(without, mlflow_spanLogLevel="20").usage.is_estimated


def test_mlflows_answer_has_the_vendors_usage() -> None:
    """With the split of what was written, the id and the tier; it shows what the input is."""
    vendors = {"input_tokens": 50, "output_tokens": 9, "cache_read_input_tokens": 40}
    answer = {"id": "msg_1", "service_tier": "priority", "usage": vendors}
    for stated in (50, 90):
        found = mlflow({**USAGE, "input_tokens": stated}, mlflow_spanOutputs=json.dumps(answer))
        assert (found.usage.quantities["input_tokens"], found.usage.is_estimated) == (90, False)
        assert (found.call_id, found.usage.service_tier) == ("response:msg_1", "priority")
    bare = mlflow(USAGE, mlflow_spanOutputs=json.dumps({"id": 5, "usage": vendors}))
    assert bare.call_id == ""
    assert mlflow(USAGE, mlflow_spanOutputs=json.dumps({"id": "run_1", "usage": "none"})).call_id == ""
    embedded = {"mlflow.spanType": '"EMBEDDING"', "model": '"text-embedding-3-small"'}
    output = json.dumps({"data": [], "usage": {"prompt_tokens": 77, "total_tokens": 77}})
    found = call({**embedded, "mlflow.spanOutputs": output}, scope="mlflow.tracing.provider").usage
    assert (found.model, found.quantities) == ("text-embedding-3-small", {"input_tokens": 77})
