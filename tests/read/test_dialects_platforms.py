"""What observability platforms and agent frameworks say in their own way: OpenLIT, Langfuse, LangWatch, Strands."""

import json
from typing import Any

import pytest

from cost_exporter.domain.span import Call
from tests.read.otlp_spans import CHAT, call, is_link

INPUT, OUTPUT, TOTAL = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.total_tokens"
CACHE_READ, CACHE_WRITE = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_write.input_tokens"

# OpenLIT


def openlit(attributes: dict[str, Any], vendor: str = "openai") -> Call:
    return call({**CHAT, **attributes}, scope=f"openlit.instrumentation.{vendor}")


def test_openlits_guess_is_told_by_the_missing_cached_tokens() -> None:
    """A stream whose usage came says how much of it was cached, be it 0."""
    stream = {"gen_ai.request.stream": True, INPUT: 4, OUTPUT: 6}
    assert openlit(stream).usage.is_estimated
    assert openlit(stream, "groq").usage.is_estimated
    assert not openlit({**stream, CACHE_READ: 0}).usage.is_estimated
    assert not openlit({**stream, "gen_ai.request.stream": False}).usage.is_estimated


def test_openlit_of_old_and_for_other_vendors_never_said_what_was_cached() -> None:
    """There its absence means nothing."""
    assert not openlit({"gen_ai.request.is_stream": True, INPUT: 4, OUTPUT: 6}).usage.is_estimated
    assert not openlit({"gen_ai.request.stream": True, INPUT: 4, OUTPUT: 6}, "ollama").usage.is_estimated


def spoken(*texts: str) -> str:
    parts = [{"type": "text", "content": text} for text in texts]
    return json.dumps([{"role": "user", "parts": parts}])


def test_openlits_speech_is_counted_from_its_text() -> None:
    """It has no number of characters, but the text; one that may have been cut is an estimate."""
    speech = {"gen_ai.operation.name": "audio", "gen_ai.request.model": "tts-1", "gen_ai.request.stream": False}
    found = openlit({**speech, "gen_ai.input.messages": spoken("Your order ", "has shipped.")})
    assert found.usage.quantities == {"characters": len("Your order has shipped.")}
    assert not found.usage.is_estimated
    cut = openlit({**speech, "gen_ai.input.messages": spoken("Your ord...")})
    assert cut.usage.quantities == {"characters": len("Your ord...")}
    assert cut.usage.is_estimated


@pytest.mark.parametrize(
    "text", ["", "[", "{}", "[1]", '[{"parts": 1}]', '[{"parts": [1]}]', '[{"parts": [{"content": 1}]}]', "[" * 9_999]
)
def test_openlits_speech_without_its_text_has_no_usage(text: str) -> None:
    """Content is often kept off spans, and never trusted to have a shape."""
    assert openlit({"gen_ai.operation.name": "audio", "gen_ai.input.messages": text}).usage.quantities == {}


def test_openlits_transcription_is_taken_for_audio() -> None:
    """Audio is dearer than text, and the prompt beside it short: as text it would be billed too low."""
    transcription = {"gen_ai.operation.name": "speech_to_text", "gen_ai.request.stream": False}
    found = openlit({**transcription, INPUT: 160, OUTPUT: 40})
    assert found.usage.quantities == {"input_tokens": 160, "output_tokens": 40, "input_audio_tokens": 160}
    assert found.usage.is_estimated
    assert not openlit(transcription).usage.is_estimated
    assert not openlit({**transcription, INPUT: 160, "gen_ai.usage.audio.input_tokens": 150}).usage.is_estimated


# Langfuse

OBSERVATION = "langfuse.observation."


def langfuse(usage: Any = None, kind: str = "generation", **fields: Any) -> Call:
    attributes = {OBSERVATION + name.replace("__", "."): value for name, value in fields.items()}
    if usage is not None:
        attributes[OBSERVATION + "usage_details"] = json.dumps(usage)
    return call({OBSERVATION + "type": kind, **attributes}, scope="langfuse-sdk", version="5.0.4", kind=1)


def test_langfuse_hands_on_what_openai_sent() -> None:
    """The vendor's own object, with the tier among the parameters."""
    usage = {
        "prompt_tokens": 1200,
        "completion_tokens": 345,
        "total_tokens": 1545,
        "prompt_tokens_details": {"cached_tokens": 1024},
    }
    parameters = json.dumps({"temperature": 1, "service_tier": "flex"})
    found = langfuse(usage, model__name="gpt-4o-mini", model__parameters=parameters, completion_start_time='"2026"')
    assert found.usage.quantities == {"input_tokens": 1200, "output_tokens": 345, "cache_read_tokens": 1024}
    assert (found.usage.model, found.usage.service_tier, found.usage.mode) == ("gpt-4o-mini", "flex", "stream")


@pytest.mark.parametrize(
    ("usage", "quantities"),
    [
        ({"input": 77}, {"input_tokens": 77}),
        ({"input": 7, "output": 5, "total": 12}, {"input_tokens": 7, "output_tokens": 5}),
        (
            {"input": 176, "output": 345, "cache_read_input_tokens": 1024},
            {"input_tokens": 176 + 1024, "output_tokens": 345, "cache_read_tokens": 1024},
        ),
        (
            {"input": 50, "input_cache_read": 1000, "input_cache_creation": 300, "output": 64, "output_reasoning": 256},
            {
                "input_tokens": 50 + 1000 + 300,
                "cache_read_tokens": 1000,
                "cache_write_tokens": 300,
                "output_tokens": 64 + 256,
                "reasoning_tokens": 256,
            },
        ),
        ({"output": 5, "input_audio": 40}, {"input_tokens": 40, "input_audio_tokens": 40, "output_tokens": 5}),
        ({"input": 5, "input_priority": 5}, {"input_tokens": 5}),
        ({"output": 5}, {"output_tokens": 5}),
        (
            {"input": 0, "output": 0, "total": 9, "input_flex": 3, "input_flex_cache_read": 4, "output_flex": 2},
            {"input_tokens": 7, "output_tokens": 2, "cache_read_tokens": 4},
        ),
        ({"input": 5, "output": 7, "input_foo": 2}, {"input_tokens": 7, "output_tokens": 7}),
        (
            {"input_tokens": 50, "output_tokens": 120, "cache_read_input_tokens": 1000},
            {"input_tokens": 50 + 1000, "output_tokens": 120, "cache_read_tokens": 1000},
        ),
        ({}, {}),
        ([], {}),
        ({"input": "many", "output": None}, {}),
    ],
)
def test_langfuses_own_names_are_parts_that_add_up(usage: Any, quantities: dict[str, int]) -> None:
    """As its LangChain handler and its guide write them; Anthropic's object counts likewise."""
    assert langfuse(usage).usage.quantities == quantities


def test_langfuse_observations_of_other_types_are_links() -> None:
    """Agents, tools, chains and plain spans, whatever they repeat; those of other instrumentations go by theirs."""
    usage = json.dumps({"input": 5})
    for kind in ("span", "agent", "tool", "chain", "retriever", "evaluator", "guardrail", "event"):
        assert is_link({OBSERVATION + "type": kind, OBSERVATION + "usage_details": usage}, scope="langfuse-sdk")
    assert is_link({"langfuse.trace.name": "t", "user.id": "u"}, scope="langfuse-sdk")
    embedding = {**CHAT, "gen_ai.operation.name": "embeddings", OBSERVATION + "type": "generation"}
    assert call(embedding).usage.operation == "embeddings"
    assert langfuse({"input": 77}, kind="embedding").usage.operation == "embeddings"
    assert call({OBSERVATION + "type": "", **CHAT}, scope="langfuse-sdk").usage.operation == "chat"


def test_langfuses_cost_is_kept_beside_ours() -> None:
    """Taken over from OpenRouter's answer, or set by hand."""
    found = langfuse(cost_details=json.dumps({"total": 0.25, "input": 0.1}))
    assert (str(found.reported_cost_usd), found.reported_cost_source) == ("0.25", "langfuse-sdk")
    assert langfuse(cost_details=json.dumps({"total": 0})).reported_cost_usd is None


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o-mini", "openai"),
        ("o3", "openai"),
        ("o4-mini", "openai"),
        ("text-embedding-3-small", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("gemini-2.5-flash", "google"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws"),
        ("amazon.nova-pro-v1:0", "aws"),
        ("llama-3.3-70b-versatile", ""),
        ("mistral-large", ""),
        ("gpt-oss-120b", ""),
        ("", ""),
    ],
)
def test_the_maker_is_taken_for_the_provider_where_nobody_is_named(model: str, provider: str) -> None:
    """And said to be taken; what many hosts serve has none."""
    found = langfuse({"input": 1}, model__name=model)
    assert found.usage.provider == provider
    assert found.issues == (("assumed_provider",) if provider else ())


def test_langchains_own_word_names_the_provider() -> None:
    """It is metadata there, and a JSON text as all of that."""
    found = langfuse({"input": 1}, model__name="gpt-4o", metadata__ls_provider='"azure"')
    assert (found.usage.provider, found.issues) == ("azure", ())


# LangWatch


def test_langwatch_names_the_stream_among_the_parameters() -> None:
    """And its parts that are 0 say nothing."""
    attributes = {
        "langwatch.span.type": "llm",
        "gen_ai.request.model": "openai/gpt-4o-mini",
        "langwatch.params": '{"stream": true}',
        "langwatch.metrics": '{"prompt_tokens": 12, "completion_tokens": 3, "reasoning_tokens": 0}',
    }
    found = call(attributes, scope="langwatch")
    assert found.usage.mode == "stream"
    assert found.usage.quantities == {"input_tokens": 12, "output_tokens": 3}


# Strands


def strands(attributes: dict[str, Any]) -> Call:
    named = {"gen_ai.operation.name": "chat", "gen_ai.system": "strands-agents"}
    return call({**named, **attributes}, scope="strands.telemetry.tracer")


def test_strands_names_itself_and_the_model_tells_who_was_asked() -> None:
    """So does the route of a gateway."""
    assert strands({"gen_ai.request.model": "gpt-4o-mini"}).usage.provider == "openai"
    assert strands({"gen_ai.request.model": "us.amazon.nova-lite-v1:0"}).usage.provider == "aws"
    assert strands({"gen_ai.request.model": "groq/llama-3.3-70b"}).usage.provider == "groq"
    assert strands({"gen_ai.request.model": "gpt-4o", "gen_ai.system": "azure.ai.openai"}).usage.provider == "azure"


def test_strands_total_tells_whether_cached_tokens_are_in_the_input() -> None:
    """OpenAI's are, those of Bedrock and Anthropic are not, however large the rest of the input."""
    cached = {INPUT: 5000, OUTPUT: 120, CACHE_READ: 1000, CACHE_WRITE: 300, "gen_ai.request.model": "claude-sonnet-4-5"}
    assert strands({**cached, TOTAL: 5000 + 120 + 1300}).usage.quantities["input_tokens"] == 5000 + 1300
    assert strands({**cached, TOTAL: 5000 + 120}).usage.quantities["input_tokens"] == 5000
    assert strands(cached).usage.quantities["input_tokens"] == 5000
    assert strands({INPUT: 5, OUTPUT: 1, TOTAL: 6}).issues == ()
