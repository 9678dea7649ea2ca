"""What each family of emitters says in its own way, beyond the spellings in the alias table."""

import json
from typing import Any

import pytest

from cost_exporter.domain.span import EmitterRank
from cost_exporter.read.dialects import DIALECTS
from tests.read.otlp_spans import CHAT, STARTED_AT_UNIX_NS, call, is_link

INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"


def test_names_of_dialects_are_unique() -> None:
    """A dialect is found by its name in documentation and issues."""
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)


# Traceloop


@pytest.mark.parametrize(
    ("request_type", "operation"),
    [("chat", "chat"), ("completion", "text_completion"), ("embedding", "embeddings"), ("rerank", "rerank")],
)
def test_old_traceloop_names_a_request_type(request_type: str, operation: str) -> None:
    """Before 0.40; the provider is capitalised then."""
    found = call(
        {
            "llm.request.type": request_type,
            "gen_ai.system": "OpenAI",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.prompt_tokens": 9,
        },
        scope="opentelemetry.instrumentation.openai.v1",
    )
    assert (found.usage.operation, found.usage.provider, found.emitter_rank) == (
        operation,
        "openai",
        EmitterRank.TRACELOOP,
    )


def test_traceloop_of_the_middle_years_names_both() -> None:
    """The operation of the conventions counts."""
    both = {"llm.request.type": "rerank", **CHAT}
    assert call(both, scope="opentelemetry.instrumentation.openai.v1").usage.operation == "chat"


def test_traceloop_workflow_and_task_spans_are_links() -> None:
    """In its own tracer and in any other."""
    assert is_link({"traceloop.span.kind": "workflow", **CHAT}, scope="traceloop.tracer")
    assert is_link({"traceloop.span.kind": "task", INPUT: 4})


def test_association_properties_of_traceloop_are_attribution() -> None:
    """Tenant (where it is believed), user and the call."""
    prefix = "traceloop.association.properties."
    found = call(
        {**CHAT, prefix + "tenant": "acme", prefix + "user_id": "u1", prefix + "call_id": "CA1"}, scope="traceloop.x"
    )
    assert found.attribution[:5] == ("acme", None, None, None, "u1")
    assert found.attribution.workflow_id == "CA1"


def test_an_azure_client_is_told_by_its_api_version() -> None:
    """Traceloop calls the provider openai; other providers stay what they are."""
    scope = "opentelemetry.instrumentation.openai.v1"
    version = {"gen_ai.openai.api_version": "2025-04-01-preview"}
    assert call({**CHAT, **version}, scope=scope).usage.provider == "azure"
    assert call({**CHAT, "gen_ai.openai.api_version": None}, scope=scope).usage.provider == "openai"
    assert call({**CHAT, **version, "gen_ai.provider.name": "groq"}, scope=scope).usage.provider == "groq"


# OpenInference


def test_openinference_wrappers_are_links() -> None:
    """Chains, agents, tools, retrievers, in any scope."""
    for kind in ("CHAIN", "AGENT", "TOOL", "RETRIEVER", "GUARDRAIL", "PROMPT", "UNKNOWN"):
        assert is_link({"openinference.span.kind": kind, "llm.token_count.prompt": 5})


@pytest.mark.parametrize(("kind", "operation"), [("LLM", "chat"), ("EMBEDDING", "embeddings"), ("RERANKER", "rerank")])
def test_openinference_kinds_are_operations(kind: str, operation: str) -> None:
    """And the model is that of the answer; the request's is in the parameters."""
    found = call(
        {
            "openinference.span.kind": kind,
            "llm.model_name": "gpt-4o-2024-08-06",
            "llm.system": "openai",
            "llm.invocation_parameters": '{"model": "gpt-4o", "stream": true}',
            "output.value": '{"id": "resp_1", "service_tier": "flex", "model": 5}',
        },
        scope="openinference.instrumentation.openai",
    )
    usage = found.usage
    assert (usage.operation, usage.model, usage.request_model) == (operation, "gpt-4o-2024-08-06", "gpt-4o")
    assert (found.call_id, usage.service_tier, usage.mode) == ("response:resp_1", "flex", "stream")
    assert found.emitter_rank is EmitterRank.OPENINFERENCE


def test_openinference_without_kind_speaks_the_conventions() -> None:
    """A scope is not the whole story."""
    for kind in ({}, {"openinference.span.kind": ""}):
        found = call({**CHAT, **kind}, scope="openinference.instrumentation.openai")
        assert found.usage.operation == "chat"


def test_openinference_for_pipecat_counts_the_spoken_text() -> None:
    """Its metric is the last one only: the greater of the two counts is billed."""
    scope, attributes = (
        "openinference.instrumentation.pipecat",
        {"tts.character_count": 25, "output.value": " " + "x" * 37},
    )
    assert call(attributes, scope=scope, name="pipecat.tts").usage.quantities == {"characters": 37}
    attributes = {"tts.character_count": 25, "output.value": "x"}
    assert call(attributes, scope=scope, name="pipecat.tts").usage.quantities == {"characters": 25}
    unknown = {"llm.model_name": "unknown", "gen_ai.request.model": "unknown"}
    llm = {"llm.token_count.prompt": 3, **unknown, "metrics.model": "gpt-4o", "output.value": "hi"}
    assert call(llm, scope=scope, name="pipecat.llm").usage.model == "gpt-4o"
    assert is_link({"session.id": "s", "openinference.span.kind": "CHAIN"}, scope=scope)


# OpenLIT


def test_openlit_counts_anthropic_without_the_cache() -> None:
    """50 beside 1000 read and 300 written: 1350 went in."""
    cache = {"gen_ai.usage.cache_read.input_tokens": 1000, "gen_ai.usage.cache_creation.input_tokens": 300}
    found = call(
        {**CHAT, "gen_ai.provider.name": "anthropic", INPUT: 5000, OUTPUT: 120, **cache},
        scope="openlit.instrumentation.anthropic",
    )
    assert found.usage.quantities["input_tokens"] == 5000 + 1000 + 300
    assert "exclusive_input" in found.issues


@pytest.mark.parametrize(("operation", "read"), [("audio", "text_to_speech"), ("image", "image_generation")])
def test_operations_of_openlit_are_translated(operation: str, read: str) -> None:
    """It names them for the API's path."""
    assert call({**CHAT, "gen_ai.operation.name": operation}).usage.operation == read


# Logfire and Pydantic AI


def test_parts_come_from_logfires_raw_usage() -> None:
    """Also Anthropic's own object, whose web searches nobody else tells."""
    raw = {
        "input_tokens": 50,
        "output_tokens": 120,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
        "server_tool_use": {"web_search_requests": 2},
    }
    expected = {
        "output_tokens": 120,
        "cache_read_tokens": 1000,
        "cache_write_tokens": 300,
        "cache_write_5m_tokens": 200,
        "cache_write_1h_tokens": 100,
        "web_searches": 2,
        "input_tokens": 1350,
    }
    anthropic = {**CHAT, "gen_ai.provider.name": "anthropic", "gen_ai.usage.raw": json.dumps(raw)}
    assert call(anthropic, scope="logfire.anthropic").usage.quantities == expected
    assert call({**anthropic, INPUT: 1350, OUTPUT: 120}, scope="logfire.anthropic").usage.quantities == expected


def test_the_log_span_of_a_logfire_stream_is_the_call() -> None:
    """It starts when the stream did; the span before it only frames it, unless the request failed."""
    stream = {**CHAT, "logfire.span_type": "log", "duration": 1.5, INPUT: 3}
    found = call(stream, scope="logfire.openai")
    assert found.usage.mode == "stream"
    assert found.started_at_unix_ns == STARTED_AT_UNIX_NS - 1_500_000_000
    assert call({**stream, "duration": "?"}, scope="logfire.openai").started_at_unix_ns == STARTED_AT_UNIX_NS
    assert is_link({**CHAT, "logfire.span_type": "span"}, scope="logfire.openai")
    failed = call({**CHAT, "logfire.span_type": "span"}, scope="logfire.openai", status={"code": 2})
    assert failed.usage.has_failed


def test_logfire_names_audio_by_url() -> None:
    """There is no operation name then."""
    found = call({"gen_ai.request.model": "tts-1", "url": "/audio/speech"}, scope="logfire.openai")
    assert found.usage.operation == "text_to_speech"


def test_pydantic_ai_agents_are_links() -> None:
    """Older releases repeat the sums on `agent run`."""
    assert is_link({"agent_name": "a", INPUT: 5}, scope="pydantic-ai")
    assert is_link({INPUT: 5}, scope="pydantic-ai", name="agent run")
    assert is_link({**CHAT, "gen_ai.operation.name": "invoke_agent", INPUT: 5}, scope="pydantic-ai")
    found = call({**CHAT, INPUT: 5, "gen_ai.usage.details.cache_read_tokens": 2}, scope="pydantic-ai")
    assert (found.usage.quantities["cache_read_tokens"], found.emitter_rank) == (2, EmitterRank.FRAMEWORK)


# LiteLLM


def test_litellm_writes_numbers_as_strings_and_details_as_a_repr() -> None:
    """Its own id for Anthropic is only its client's; for OpenAI it is the vendor's."""
    attributes = {
        **CHAT,
        "gen_ai.provider.name": "anthropic",
        "gen_ai.response.id": "chatcmpl-uuid",
        INPUT: "1350",
        OUTPUT: "120",
        "metadata.usage_object": "{'prompt_tokens': 1350, 'prompt_tokens_details': {'cached_tokens': 1000}}",
    }
    found = call(attributes, scope="litellm")
    assert found.usage.quantities == {"input_tokens": 1350, "output_tokens": 120, "cache_read_tokens": 1000}
    assert (found.call_id, found.has_gateway_id) == ("response:chatcmpl-uuid", True)
    assert call({**attributes, "gen_ai.provider.name": "openai"}, scope="litellm").call_id == "response:chatcmpl-uuid"
    assert is_link({"gen_ai.request.model": "gpt-4o"}, scope="litellm", name="raw_gen_ai_request")


@pytest.mark.parametrize(
    ("details", "changed", "is_estimated"),
    [
        ("None", {}, True),
        ("{'cached_tokens': 0}", {}, False),
        ("None", {"gen_ai.provider.name": "groq"}, False),
        ("None", {"llm.is_streaming": "False"}, False),
        ("None", {OUTPUT: 0, "metadata.usage_object": "{'prompt_tokens': 8, 'completion_tokens': 0}"}, False),
        ("None", {"metadata.usage_object": None}, False),
    ],
)
def test_litellms_own_count_of_a_stream_is_told_by_missing_details(
    details: str, changed: dict[str, object], is_estimated: bool
) -> None:
    """OpenAI's usage always says how much of the input was cached; others' often does not."""
    usage = f"{{'prompt_tokens': 8, 'completion_tokens': 3, 'prompt_tokens_details': {details}}}"
    stream = {**CHAT, INPUT: 8, OUTPUT: 3, "llm.is_streaming": "True", "metadata.usage_object": usage}
    assert call({**stream, **changed}, scope="litellm").usage.is_estimated is is_estimated


def test_litellm_names_the_provider_in_front_of_the_model() -> None:
    """Embeddings have it nowhere else; and a call id of its own is no response id."""
    attributes = {
        "gen_ai.operation.name": "embedding",
        "gen_ai.system": "",
        "gen_ai.request.model": "text-embedding-3-small",
        "litellm.provider.model": "openai/text-embedding-3-small",
        "gen_ai.response.id": "uuid",
        "litellm.call_id": "uuid",
    }
    found = call(attributes, scope="litellm")
    assert (found.usage.provider, found.call_id) == ("openai", "")
    assert call({**attributes, "gen_ai.system": "azure"}, scope="litellm").usage.provider == "azure"
    assert call({**attributes, "litellm.provider.model": "bare"}, scope="litellm").usage.provider == ""


def test_literal_zeros_mean_unknown() -> None:
    """LiteLLM writes 0 tokens and 0.0 dollars for a stream without usage."""
    found = call({**CHAT, INPUT: "0", OUTPUT: "0", "gen_ai.cost.total_cost": 0.0}, scope="litellm")
    assert found.usage.quantities == {}
    assert found.reported_cost_usd is None
    assert found.issues == ("zero_usage",)


# Vercel AI


def test_vercel_ai_without_its_own_operation_speaks_the_conventions() -> None:
    """Absent or empty."""
    for own in ({}, {"ai.operationId": ""}):
        assert call({**CHAT, **own}, scope="ai").usage.operation == "chat"


def test_vercel_ai_bills_the_inner_span_only() -> None:
    """Also where the framing span carries the newer usage names."""
    wrapper = {"ai.operationId": "ai.generateText", INPUT: 5, "gen_ai.operation.name": "invoke_agent"}
    assert is_link(wrapper, scope="ai")
    assert is_link({**wrapper, "gen_ai.operation.name": "chat"}, scope="another")
    found = call(
        {
            "ai.operationId": "ai.streamText.doStream",
            "ai.model.provider": "openai.responses",
            "ai.model.id": "gpt-4o",
            "ai.response.id": "aitxt-made-up",
            "ai.usage.inputTokens": 100,
            "ai.usage.outputTokens": 10,
            "ai.usage.cachedInputTokens": 80,
            "ai.usage.reasoningTokens": 4,
        },
        scope="ai",
    )
    assert (found.usage.provider, found.usage.model, found.usage.mode) == ("openai", "gpt-4o", "stream")
    assert found.call_id == ""
    assert found.usage.quantities == {
        "input_tokens": 100,
        "output_tokens": 10,
        "cache_read_tokens": 80,
        "reasoning_tokens": 4,
    }


@pytest.mark.parametrize(
    ("operation_id", "operation"),
    [
        ("ai.embed.doEmbed", "embeddings"),
        ("ai.rerank.doRerank", "rerank"),
        ("ai.transcribe.doTranscribe", "speech_to_text"),
        ("ai.generateSpeech.doSpeech", "text_to_speech"),
        ("ai.generateImage.doGenerate", "image_generation"),
        ("ai.generateObject.doGenerate", "chat"),
    ],
)
def test_operations_of_vercel_ai(operation_id: str, operation: str) -> None:
    """Told by the operation id."""
    found = call({"ai.operationId": operation_id, "ai.response.id": "resp_1", "ai.usage.tokens": 7})
    assert (found.usage.operation, found.call_id) == (operation, "response:resp_1")
    assert found.usage.quantities == {"input_tokens": 7}


def test_vercel_ai_without_operation_id_speaks_the_conventions() -> None:
    """In both of its scopes."""
    assert call(CHAT, scope="ai").usage.operation == "chat"
    assert call(CHAT, scope="gen_ai").usage.operation == "chat"


def test_the_outer_embedding_span_of_vercel_ai_7_gives_way() -> None:
    """It has no usage; the inner one has, and one that failed stays."""
    embedding = {**CHAT, "gen_ai.operation.name": "embeddings"}
    assert not call(embedding, scope="gen_ai").is_billable
    assert call({**embedding, INPUT: 77}, scope="gen_ai").is_billable
    assert call(embedding, scope="gen_ai", status={"code": 2}).is_billable
    assert is_link({**CHAT, "gen_ai.operation.name": "agent_step", INPUT: 5}, scope="gen_ai")


METADATA = {"response_metadata": {"id": "chatcmpl-9001"}, "id": "lc_run--1"}


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "chatcmpl-9001", "generations": [[{"message": {"kwargs": {"response_metadata": {"id": "other"}}}}]]},
        {"llm_output": {"id": "chatcmpl-9001"}, "generations": [[]]},
        {"generations": [[{"message": {"kwargs": METADATA}}]], "llm_output": {"token_usage": {}}},
        {"generations": [{"message": {"kwargs": METADATA}}]},
        {"generations": [[{"message": METADATA}, {"message": {"response_metadata": {"id": "second"}}}]]},
        {"generations": [[{"text": "hi", "generation_info": {"id": "chatcmpl-9001"}}]]},
        {"lc": 1, "kwargs": METADATA},
        {"response_metadata": {"id": "chatcmpl-9001"}, "content": "hi"},
    ],
)
def test_an_answer_of_langchain_holds_the_vendors_id_deeper(answer: dict[str, Any]) -> None:
    """By it the framework's span and the SDK's are one call, in whatever traces they are."""
    attributes = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 3}
    found = call({**attributes, "output.value": json.dumps(answer)}, scope="openinference.instrumentation.langchain")
    assert found.call_id == "response:chatcmpl-9001"


@pytest.mark.parametrize(
    "answer",
    [
        {"generations": [[{"message": {"kwargs": METADATA}}], [{"message": {"kwargs": METADATA}}]]},
        {"generations": [[{"message": {"kwargs": {"id": "lc_run--1"}}}]], "llm_output": None},
        {"generations": [[]]},
        {"generations": []},
        {"generations": "text", "llm_output": "text"},
        {"generations": ["text"]},
        {"generations": [[{"message": {"kwargs": {"response_metadata": {"id": 7}}}}]]},
    ],
)
def test_an_id_of_langchains_own_or_of_several_answers_identifies_nothing(answer: dict[str, Any]) -> None:
    """A run's id, two prompts in one span, or another kind of answer."""
    attributes = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 3}
    found = call({**attributes, "output.value": json.dumps(answer)}, scope="openinference.instrumentation.langchain")
    assert found.call_id == ""


# Traceloop counts some tokens of a stream twice


@pytest.mark.parametrize(
    ("scope", "is_stream", "is_estimated"),
    [
        ("opentelemetry.instrumentation.anthropic", True, True),
        ("opentelemetry.instrumentation.anthropic", False, False),
        ("opentelemetry.instrumentation.anthropic", None, False),
        ("opentelemetry.instrumentation.openai", True, False),
    ],
)
def test_streams_that_are_overcounted_are_estimates(scope: str, is_stream: bool | None, is_estimated: bool) -> None:
    """Its figure of a stream is 1 to 5 tokens above Anthropic's own."""
    stated = {**CHAT, "gen_ai.provider.name": "anthropic", INPUT: 17, OUTPUT: 174, "gen_ai.is_streaming": is_stream}
    for _ in range(2):  # the second one may be a copy of the first
        assert call(stated, scope=scope).usage.is_estimated is is_estimated


@pytest.mark.parametrize(
    ("scope", "names", "is_estimated"),
    [
        ("opentelemetry.instrumentation.anthropic", (OUTPUT, "gen_ai.response.model"), True),
        ("opentelemetry.instrumentation.anthropic", ("gen_ai.response.model", OUTPUT), False),
        ("opentelemetry.instrumentation.anthropic", ("gen_ai.response.model",), False),
        ("opentelemetry.instrumentation.anthropic", (OUTPUT,), False),
        ("opentelemetry.instrumentation.openai.v1", (OUTPUT, "gen_ai.response.model"), False),
    ],
)
def test_the_order_of_the_attributes_shows_a_stream_of_the_helper(
    scope: str, names: tuple[str, ...], is_estimated: bool
) -> None:
    """`messages.stream()` has no attribute that says so, but writes the usage before the model."""
    answer = {OUTPUT: 174, "gen_ai.response.model": "claude-haiku-4-5"}
    stated = {**CHAT, "gen_ai.provider.name": "anthropic", INPUT: 17, **{name: answer[name] for name in names}}
    assert call(stated, scope=scope).usage.is_estimated == is_estimated
    assert not call({**stated, "gen_ai.is_streaming": False}, scope=scope).usage.is_estimated
