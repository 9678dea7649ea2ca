"""Usage objects that cannot be read, or that say less than the attributes beside them, are named."""

import json
import time
from typing import Any

import pytest

from cost_exporter.prices import load_book
from cost_exporter.read.otlp import wire
from cost_exporter.read.request import read_request
from cost_exporter.read.strip import strip_content
from tests.read.otlp_spans import CHAT, RECEIVED_AT_UNIX_NS, call, document, request

USAGE = "gen_ai.usage."
COUNTED = {**CHAT, f"{USAGE}input_tokens": 5000, f"{USAGE}output_tokens": 100}
CLAUDE = {**CHAT, "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5"}
WHOLE = {"prompt_tokens": 5000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 4000}}
LONG = json.dumps({"note": "x" * 300_000, **WHOLE})


@pytest.mark.parametrize(
    "written",
    [
        LONG,
        json.dumps(WHOLE)[:-20],  # an exporter cut it at its limit for attributes
        f"{WHOLE!r}"[:-3],
        json.dumps([WHOLE]),
        [WHOLE],
        "CompletionUsage(completion_tokens=100, prompt_tokens=5000)",
        "DefaultUsage{promptTokens=5000, completionTokens=100}",
        "map[CompletionTokens:100 PromptTokens:5000]",
        '{"prompt_tokens"=>5000}',
        "unreadable",
        "[" + "1," * 200_000 + "1]",
    ],
    ids=lambda written: str(written)[:24],
)
@pytest.mark.parametrize("key", ["foo.usage", f"{USAGE}raw", "llm.openai.usage", "foo.usage_metadata"])
def test_a_usage_object_that_cannot_be_read_is_named(key: str, written: object) -> None:
    """Too long to parse, cut short, or in the words of another language: it may have said more than was read."""
    found = call({**COUNTED, key: written})
    assert found.issues == (f"unread_usage: {key}",)
    assert load_book().price_of_call(found.usage).status == "partial"


@pytest.mark.parametrize("written", ["", "{}", " { } ", "[]", "none", "a lot", "[object Object]", {}, [], None, True])
def test_a_usage_object_of_nothing_is_not_named(written: object) -> None:
    """Nor one whose words have no number."""
    found = call({**COUNTED, "foo.usage": written})
    assert (found.issues, found.usage.is_incomplete) == ((), False)


@pytest.mark.parametrize(
    ("scope", "attributes", "key"),
    [
        ("ai", {"ai.operationId": "ai.generateText.doGenerate"}, "ai.response.providerMetadata"),
        ("mlflow", {"mlflow.spanType": "CHAT_MODEL"}, "mlflow.chat.tokenUsage"),
        ("langfuse-sdk", {"langfuse.observation.type": "generation"}, "langfuse.observation.usage_details"),
        ("langwatch", {"langwatch.span.type": "llm"}, "langwatch.metrics"),
        ("litellm", {}, "metadata.usage_object"),
        ("livekit-agents", {}, "lk.realtime_model_metrics"),
        ("gcp.vertex.agent", {}, "gcp.vertex.agent.llm_response"),
    ],
)
def test_a_dialects_own_usage_object_is_named_where_it_cannot_be_read(
    scope: str, attributes: dict[str, Any], key: str
) -> None:
    """Whoever reads it, and also when it comes back from a dead letter."""
    for text in (json.dumps({"anthropic": {"usage": WHOLE}})[:-1], json.dumps({"usage": WHOLE, "note": "x" * 300_000})):
        found = call({**COUNTED, **attributes, key: text}, scope=scope)
        assert f"unread_usage: {key}" in found.issues
        assert found.usage.is_incomplete
        (each,) = request(document({**COUNTED, **attributes, key: text}, scope=scope))
        scope_spans = each.scope_spans[0]
        replayed = read_request(
            wire.parse_request(strip_content(scope_spans.spans[0], scope_spans.scope)).resource_spans,
            namespace="default",
            received_at_unix_ns=RECEIVED_AT_UNIX_NS,
            tenant_is_trusted=True,
        )
        assert replayed.calls[0].issues == found.issues


def test_an_envelope_without_a_word_of_usage_is_no_usage() -> None:
    """What a provider says beside its answer may be long, or cut, and has nothing to do with its price."""
    for text in ('{"google": {"groundingMetadata": {"chunks": [', json.dumps({"note": "x" * 300_000}), "tokens"):
        found = call({**COUNTED, "foo.provider_metadata": text})
        assert (found.issues, found.usage.is_incomplete) == ((), False)


@pytest.mark.parametrize(
    "written", [json.dumps(json.dumps(WHOLE)), f"\n  {json.dumps(WHOLE, indent=2)}\n", f" {WHOLE!r} "]
)
def test_blanks_and_a_second_pair_of_quotes_hide_nothing(written: str) -> None:
    """An emitter that writes every value as JSON writes JSON twice."""
    found = call({**CHAT, "foo.usage": written})
    assert found.usage.quantities == {"input_tokens": 5000, "output_tokens": 100, "cache_read_tokens": 4000}
    assert found.issues == ()


def test_what_is_too_much_or_too_deep_to_look_at_is_named() -> None:
    """A usage object has no thousands of members; whatever they are, they were not read."""
    many = {f"foo_{number}_latency": 1 for number in range(5000)}
    deep: Any = {"cached_foo_tokens": 5}
    for _ in range(8):
        deep = {"inner": deep}
    for more in (many, {"details": deep}, {"rounds": [{"latency": 1}] * 300}):
        found = call({**CHAT, "foo.usage": json.dumps({**WHOLE, **more})})
        assert found.usage.quantities["input_tokens"] == 5000
        assert "members_left_out" in found.issues[0]
        assert found.usage.is_incomplete


def test_what_a_dead_letter_leaves_out_is_named_when_it_comes_back() -> None:
    """It keeps fewer members and levels than are read."""
    many = {f"foo_{number}_latency": 1 for number in range(100)}
    (each,) = request(document({**CHAT, "foo.usage": json.dumps({**WHOLE, **many})}))
    assert b"members_left_out" in strip_content(each.scope_spans[0].spans[0])
    deep: Any = {}
    for _ in range(5):
        deep = {"inner": deep}
    assert call({**CHAT, "foo.usage": json.dumps({**WHOLE, "details": deep})}).issues == ()


def test_a_long_usage_object_costs_little() -> None:
    """Nothing of it is parsed."""
    began = time.process_time()
    call({**COUNTED, "foo.usage": "{" + "1" * 3_000_000, "foo.response_metadata": "{" + "x" * 3_000_000})
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("counted", "usage", "issue"),
    [
        (COUNTED, {"prompt_tokens": 3000, "completion_tokens": 100}, "prompt_tokens = 3000, input_tokens = 5000"),
        (COUNTED, {"prompt_tokens": 5000, "completion_tokens": 90}, "completion_tokens = 90, output_tokens = 100"),
        (
            {**COUNTED, f"{USAGE}cache_read.input_tokens": 4000},
            {**WHOLE, "prompt_tokens_details": {"cached_tokens": 1000}},
            "prompt_tokens_details.cached_tokens = 1000, cache_read_tokens = 4000",
        ),
        (
            {**COUNTED, f"{USAGE}reasoning.output_tokens": 60},
            {**WHOLE, "completion_tokens_details": {"reasoning_tokens": 20}},
            "completion_tokens_details.reasoning_tokens = 20, reasoning_tokens = 60",
        ),
    ],
)
def test_a_usage_object_that_says_less_than_the_attributes_disagrees(
    counted: dict[str, Any], usage: dict[str, Any], issue: str
) -> None:
    """One of the two is not what was used: the attribute is billed, as an estimate."""
    found = call({**counted, "foo.usage": json.dumps(usage)})
    assert found.issues == (f"conflicting_usage: foo.usage.{issue}",)
    assert (found.usage.is_estimated, found.usage.is_incomplete) == (True, False)
    assert found.usage.quantities["input_tokens"] == 5000


@pytest.mark.parametrize(
    ("counted", "usage"),
    [
        # The same, nothing, and the same without a part that is counted beside it.
        (COUNTED, WHOLE),
        (COUNTED, {"prompt_tokens": 0, "completion_tokens": 0}),
        (COUNTED, {"promptTokenCount": 5000, "candidatesTokenCount": 60, "thoughtsTokenCount": 40}),
        (
            {**CLAUDE, f"{USAGE}input_tokens": 1350, f"{USAGE}output_tokens": 5},
            {"input_tokens": 50, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 300},
        ),
    ],
)
def test_a_usage_object_that_counts_otherwise_does_not_disagree(counted: dict[str, Any], usage: dict[str, Any]) -> None:
    """Anthropic's input is without what was cached, Google's output without the thoughts."""
    assert call({**counted, "foo.usage": json.dumps(usage)}).issues == ()


@pytest.mark.parametrize(("key", "is_named"), [("gen_ai.token_usage", True), ("llm.usage", True), ("cpu.usage", False)])
def test_a_bare_number_of_usage_is_named_where_it_is_more_than_was_read(key: str, is_named: bool) -> None:
    """It is a total: as much as was read, or less, it says nothing."""
    for number, is_more in ((5101, True), ("5101", True), (5100, False), (40, False)):
        found = call({**COUNTED, key: number})
        assert found.issues == ((f"unread_usage: {key}",) if is_named and is_more else ())
