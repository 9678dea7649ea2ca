"""Emitters that nobody recorded, as they name and nest their usage: read right, or named as not understood."""

import json
from typing import Any

import pytest

from cost_exporter.prices import load_book
from tests.read.otlp_spans import CHAT, call, document, facts

USAGE = "gen_ai.usage."
COUNTED = {**CHAT, f"{USAGE}input_tokens": 1200, f"{USAGE}output_tokens": 345}
CLAUDE = {**CHAT, "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5"}
AI_SDK = {"ai.operationId": "ai.generateText.doGenerate", "ai.usage.inputTokens": 1200, "ai.usage.outputTokens": 345}


@pytest.mark.parametrize(
    ("scope", "attributes", "quantities"),
    [
        (
            "Microsoft.SemanticKernel",
            {
                "Usage": {
                    "InputTokenCount": 1200,
                    "OutputTokenCount": 345,
                    "InputTokenDetails": {"CachedTokenCount": 1024, "AudioTokenCount": 7},
                    "OutputTokenDetails": {"ReasoningTokenCount": 64, "AudioTokenCount": 9},
                }
            },
            {
                "cache_read_tokens": 1024,
                "input_audio_tokens": 7,
                "output_audio_tokens": 9,
                "reasoning_tokens": 64,
            },
        ),
        (
            "braintrust",
            {"braintrust.metrics": {"prompt_tokens": 1200, "completion_tokens": 345, "prompt_cached_tokens": 1024}},
            {"cache_read_tokens": 1024},
        ),
        (
            "langtrace-typescript-sdk",
            {"llm.token.counts": {"input_tokens": 1200, "output_tokens": 345, "total_tokens": 1545}},
            {},
        ),
        (
            "crewAI-telemetry",
            {"crew.usage_metrics": {"prompt_tokens": 1200, "completion_tokens": 345, "cached_prompt_tokens": 1024}},
            {"cache_read_tokens": 1024},
        ),
    ],
)
def test_usage_objects_of_others_are_read(scope: str, attributes: dict[str, Any], quantities: dict[str, int]) -> None:
    """Whether the span has nothing else, or the totals as well."""
    written = {name: json.dumps(usage) for name, usage in attributes.items()}
    for beside in (CHAT, COUNTED):
        found = call({**beside, **written}, scope=scope)
        assert found.usage.quantities == {"input_tokens": 1200, "output_tokens": 345, **quantities}
        assert (found.issues, found.usage.is_estimated) == ((), False)


@pytest.mark.parametrize(
    "attributes",
    [
        {"llm.token.counts": json.dumps({"input_tokens": 1200, "output_tokens": 345}), "llm.model": "gpt-4o-mini"},
        {"braintrust.metrics": json.dumps({"prompt_tokens": 1200})},
        {"_ml_obs.metrics.input_tokens": 1200, "_ml_obs.meta.model_name": "gpt-4o-mini"},
        {"response.usage.prompt_tokens": 1200, "response.model": "gpt-4o-mini"},
    ],
)
def test_a_span_with_usage_and_no_known_name_leaves_a_trace(attributes: dict[str, Any]) -> None:
    """It is no call that could be priced, and it is not passed over."""
    found = facts(document(attributes))
    assert len(found.calls) + len(found.look_alikes) == 1
    assert all(load_book().price_of_call(each.usage).status != "priced" for each in found.calls)


@pytest.mark.parametrize("name", ["cached_1h_tokens", "cache_write_1hr", "cache_creation.one_hour_tokens"])
def test_what_is_kept_for_an_hour_is_not_the_same_as_what_is_written(name: str) -> None:
    """All of it was written for an hour, at a higher price: an equal number says no more than that."""
    counted = {**CLAUDE, f"{USAGE}input_tokens": 1350, f"{USAGE}output_tokens": 120}
    written = {**counted, f"{USAGE}cache_write.input_tokens": 300}
    scope = "opentelemetry.instrumentation.anthropic"
    assert call({**written, f"{USAGE}{name}": 300}, scope=scope).usage.is_estimated
    known = {f"{USAGE}cache_creation.ephemeral_1h_input_tokens": 300}
    found = call({**written, **known, f"{USAGE}{name}": 300}, scope=scope).usage
    assert (found.quantities["cache_write_1h_tokens"], found.is_estimated) == (300, False)


@pytest.mark.parametrize("name", ["serviceTier", "service_tier"])
def test_the_ai_sdk_hands_on_the_service_tier(name: str) -> None:
    """A flex answer costs half, and nothing but the vendor's metadata says so."""
    metadata = json.dumps({"openai": {"responseId": "r", "cachedPromptTokens": 1024, name: "flex", "x": 1}})
    attributes = {**AI_SDK, "ai.model.provider": "openai.responses", "ai.model.id": "gpt-5-mini"}
    found = call({**attributes, "ai.response.providerMetadata": metadata}, scope="ai").usage
    assert (found.service_tier, found.quantities["cache_read_tokens"]) == ("flex", 1024)
    stated = {"gen_ai.openai.response.service_tier": "priority", "ai.response.providerMetadata": metadata}
    assert call({**attributes, **stated}, scope="ai").usage.service_tier == "priority"


@pytest.mark.parametrize(
    ("name", "usage", "quantities"),
    [
        (
            "googleai/gemini-2.5-flash",
            {"inputTokens": 1200, "outputTokens": 281, "thoughtsTokens": 64, "totalTokens": 1545, "inputCharacters": 9},
            {"input_tokens": 1200, "output_tokens": 345, "reasoning_tokens": 64},
        ),
        (
            "anthropic/claude-sonnet-4-5",
            {"inputTokens": 50, "outputTokens": 120, "custom": {"input_tokens": 50, "cache_read_input_tokens": 1000}},
            {"input_tokens": 1050, "output_tokens": 120, "cache_read_tokens": 1000},
        ),
    ],
)
def test_genkits_usage_is_in_the_output_of_its_models(
    name: str, usage: dict[str, Any], quantities: dict[str, int]
) -> None:
    """Thoughts by the total, Anthropic's cache by its own counts; characters are Genkit's own count."""
    action = {"genkit:type": "action", "genkit:metadata:subtype": "model", "genkit:name": name}
    found = call({**action, "genkit:output": json.dumps({"usage": usage})}, scope="genkit-tracer", kind=1)
    assert (found.usage.quantities, found.usage.is_incomplete) == (quantities, False)
    assert found.usage.model == name.partition("/")[2]
    assert call({**action, "genkit:name": "mine"}, scope="genkit-tracer").usage.quantities == {}
    tool = {**action, "genkit:metadata:subtype": "tool"}
    assert not facts(document(tool, scope="genkit-tracer")).calls


@pytest.mark.parametrize(
    "name",
    [
        *("gen_ai.response.InputTokenDetails.CachedTokenCount", "gen_ai.usage.totalTokens", "GenAI.Usage.InputTokens"),
        *(f"{USAGE}{each}" for each in ("cachedTokensFoo", "video.output_tokens", "tool_use_prompt_tokens")),
        *(f"{USAGE}{each}" for each in ("audio_minutes", "billable_characters", "search_units", "cached_prompt")),
        *("cached_token_count", "thoughts_token_count", "token.cached", "n_cached_tokens", "usage.cached.tokens"),
    ],
)
def test_an_unknown_name_of_a_known_kind_is_not_priced_as_if_it_were_not_there(name: str) -> None:
    """In other languages' casing, with other units, and bare."""
    assert load_book().price_of_call(call({**COUNTED, name: 7777}).usage).status in {"estimated", "partial"}
