"""Frameworks that ask models: whom, and what of the usage they hand on."""

import json
from typing import Any

import pytest

from tests.read.otlp_spans import CHAT, call, is_link

INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
USAGE = {"prompt_tokens": 1200, "completion_tokens": 345, "prompt_tokens_details": {"cached_tokens": 1024}}
QUANTITIES = {"input_tokens": 1200, "output_tokens": 345, "cache_read_tokens": 1024}
META = {"model": "gpt-4o-mini", "index": 0, "usage": USAGE}


def component(kind: str, output: object = None) -> dict[str, Any]:
    attributes = {"haystack.component.name": "llm", "haystack.component.type": kind}
    return attributes if output is None else {**attributes, "haystack.component.output": json.dumps(output)}


@pytest.mark.parametrize(
    "output",
    [
        {"replies": [{"role": "assistant", "content": [{"text": "hello"}], "meta": META}]},
        {"replies": [{"_role": "assistant", "_content": [{"text": "hello"}], "_meta": META}]},
        {"replies": ["hello", "again"], "meta": [META, META]},
        {"replies": [{"meta": META}, {"meta": META}]},
    ],
)
def test_haystack_states_the_usage_in_the_output_of_a_component(output: object) -> None:
    """Of a chat in each reply, else beside them; several replies are one answer."""
    found = call(component("OpenAIChatGenerator", output), scope="my_application")
    assert found.usage.quantities == QUANTITIES
    assert (found.usage.provider, found.usage.model, found.usage.operation) == ("openai", "gpt-4o-mini", "chat")


@pytest.mark.parametrize(
    ("kind", "provider", "operation"),
    [
        ("AnthropicChatGenerator", "anthropic", "chat"),
        ("OpenAIResponsesChatGenerator", "openai", "chat"),
        ("AzureOpenAIGenerator", "azure", "chat"),
        ("AmazonBedrockTextEmbedder", "aws", "embeddings"),
        ("OpenAIDocumentEmbedder", "openai", "embeddings"),
        ("CohereRanker", "cohere", "rerank"),
        ("DALLEImageGenerator", "openai", "image_generation"),
    ],
)
def test_the_type_of_a_component_says_who_was_asked(kind: str, provider: str, operation: str) -> None:
    """Without content tracing it is all there is: a call whose usage nobody knows."""
    found = call(component(kind), scope="haystack")
    assert (found.usage.provider, found.usage.operation, found.usage.quantities) == (provider, operation, {})


@pytest.mark.parametrize("kind", ["PromptBuilder", "SentenceTransformersTextEmbedder", "MyGenerator", ""])
def test_other_components_ask_nobody(kind: str) -> None:
    """A prompt is built, or the model runs in the process itself."""
    assert is_link(component(kind), scope="haystack")


@pytest.mark.parametrize("output", [[1], {"replies": [1]}, {"meta": {"model": 1, "usage": 2}}, {"meta": [{"meta": 3}]}])
def test_an_output_of_another_shape_has_no_usage(output: object) -> None:
    """It may be anything."""
    assert call(component("OpenAIGenerator", output)).usage.quantities == {}


def test_embeddings_of_haystack_are_counted_beside_them() -> None:
    """In `meta`, which is no list there."""
    meta = {"model": "text-embedding-3-small", "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    found = call(component("OpenAITextEmbedder", {"embedding": [0.1], "meta": meta}))
    assert (found.usage.model, found.usage.quantities) == ("text-embedding-3-small", {"input_tokens": 7})


@pytest.mark.parametrize(
    ("scope", "is_exclusive", "is_estimated"),
    [
        ("openinference.instrumentation.agno", True, False),
        ("openinference.instrumentation.crewai", False, True),
        ("openinference.instrumentation.langchain", False, False),
    ],
)
def test_frameworks_hand_on_anthropics_counts_or_do_not(scope: str, is_exclusive: bool, is_estimated: bool) -> None:
    """Agno does; of those that nobody compared with the vendor it makes an estimate."""
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.provider": "Anthropic",
        "llm.model_name": "claude-haiku-4-5",
        "llm.token_count.prompt": 1350,
        "llm.token_count.completion": 9,
        "llm.token_count.prompt_details.cache_read": 1000,
    }
    found = call(attributes, scope=scope)
    assert found.usage.quantities["input_tokens"] == (2350 if is_exclusive else 1350)
    assert found.usage.is_estimated == is_estimated


@pytest.mark.parametrize(
    ("stated", "model", "provider", "named"),
    [
        ("openai", "azure/gpt-4o", "azure", "gpt-4o"),
        ("anthropic", "openrouter/anthropic/claude-haiku-4.5", "openrouter", "anthropic/claude-haiku-4.5"),
        ("", "groq/llama-3.3-70b-versatile", "groq", "llama-3.3-70b-versatile"),
        ("openrouter", "openai/gpt-4o", "openrouter", "openai/gpt-4o"),
        ("OpenAIProvider", "gpt-4o", "openai", "gpt-4o"),
        ("AwsBedrock", "us.amazon.nova-pro-v1:0", "aws", "us.amazon.nova-pro-v1:0"),
        ("AzureFoundry", "gpt-4o", "azure", "gpt-4o"),
        ("Provider", "gpt-4o", "provider", "gpt-4o"),
    ],
)
def test_who_hosts_a_model_is_named_by_class_or_by_route(stated: str, model: str, provider: str, named: str) -> None:
    """LiteLLM's routes name who is asked, where the emitter names who made the model."""
    found = call({"llm.provider": stated, "llm.model_name": model, "llm.token_count.prompt": 5})
    assert (found.usage.provider, found.usage.model) == (provider, named)


@pytest.mark.parametrize("name", ["gen_ai.usage.characters", "gen_ai.usage.character_count"])
def test_characters_of_speech_go_by_several_names(name: str) -> None:
    """And show that it was speech."""
    attributes = {key: value for key, value in CHAT.items() if key != "gen_ai.operation.name"}
    found = call({**attributes, "gen_ai.request.model": "tts-1", name: 47})
    assert (found.usage.quantities, found.usage.operation) == ({"characters": 47}, "text_to_speech")
