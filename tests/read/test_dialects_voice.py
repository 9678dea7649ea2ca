"""What voice frameworks, LangWatch, vector stores and our own instrumentors say in their own way."""

import json
from decimal import Decimal
from typing import Any

import pytest

from cost_exporter.domain.span import EmitterRank
from tests.read.otlp_spans import CHAT, call, is_link

INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"


# Voice frameworks


def test_pipecat_names_services_by_class() -> None:
    """And its turns frame calls, whatever they carry."""
    found = call(
        {"gen_ai.operation.name": "tts", "gen_ai.provider.name": "elevenlabshttp", "metrics.character_count": 37},
        scope="pipecat",
        kind=1,
    )
    assert (found.usage.provider, found.usage.operation) == ("elevenlabs", "text_to_speech")
    assert is_link({**CHAT, INPUT: 5, "conversation.id": "c"}, scope="pipecat.turn")


@pytest.mark.parametrize(
    ("named", "provider", "host"),
    [
        ("api.openai.com", "openai", "api.openai.com"),
        ("api.groq.com", "groq", "api.groq.com"),
        ("api.groq.com:443", "groq", "api.groq.com"),
        ("127.0.0.1:8000", "127.0.0.1", "127.0.0.1"),
        ("localhost:4000", "localhost", "localhost"),
        ("llm.example.org", "llm.example.org", "llm.example.org"),
        ("[::1]:8000", "[::1]", "[::1]"),
        ("openai", "openai", ""),
        ("azure.ai.openai", "azure", ""),
        ("ibm.watsonx.ai", "watsonx", ""),
        ("z.ai", "zai", ""),
    ],
)
def test_livekit_names_a_provider_by_its_host(named: str, provider: str, host: str) -> None:
    """Whose host it is, where that is known; else the host without its port, which has no price of its own."""
    found = call({**CHAT, "gen_ai.provider.name": named, INPUT: 5}, scope="livekit-agents", name="llm_request")
    assert (found.usage.provider, found.usage.base_url) == (provider, host)


@pytest.mark.parametrize(
    ("scope", "is_detached"),
    [("pipecat", True), ("openinference.instrumentation.pipecat", True), ("livekit-agents", False)],
)
def test_pipecats_spans_are_never_current(scope: str, is_detached: bool) -> None:
    """So a vendor's span of the same call is the root of another trace."""
    found = call({**CHAT, INPUT: 5}, scope=scope, name="pipecat.llm")
    assert (found.is_detached, found.emitter_rank) == (is_detached, EmitterRank.FRAMEWORK)


def test_pipecat_states_anthropic_net_of_cache() -> None:
    """Its docstring says so; OpenAI's are gross."""
    cached = {INPUT: 2000, "gen_ai.usage.cache_read.input_tokens": 1000}
    found = call({**CHAT, "gen_ai.provider.name": "anthropic", **cached}, scope="pipecat")
    assert found.usage.quantities["input_tokens"] == 3000
    assert call({**CHAT, **cached}, scope="pipecat").usage.quantities["input_tokens"] == 2000


def test_live_speech_of_pipecat_is_a_stream() -> None:
    """Unless it says otherwise."""
    attributes = {"gen_ai.operation.name": "stt", "metrics.audio_seconds": 1.5}
    assert call(attributes, scope="pipecat").usage.mode == "stream"
    assert call({**attributes, "stream": False}, scope="pipecat").usage.mode == "batch"


def test_livekit_keeps_usage_in_json() -> None:
    """Python and JavaScript name it differently; attempts and turns are links."""
    python = '{"characters_count": 12, "audio_duration": 1.5, "input_tokens": 0, "output_tokens": 9}'
    found = call({"lk.tts_metrics": python}, scope="livekit-agents", name="tts_request", kind=1)
    assert found.usage.quantities == {"characters": 12, "output_audio_seconds": Decimal("1.5"), "output_tokens": 9}
    javascript = '{"charactersCount": 12, "audioDurationMs": 1500}'
    found = call({"lk.tts_metrics": javascript})
    assert found.usage.quantities == {"characters": 12, "output_audio_seconds": Decimal("1.5")}
    found = call({"lk.stt_metrics": '{"audio_duration": 2.25}'})
    assert (found.usage.operation, dict(found.usage.quantities)) == (
        "speech_to_text",
        {"audio_seconds": Decimal("2.25")},
    )
    realtime = {"input_tokens": 10, "output_tokens": 5, "input_token_details": {"audio_tokens": 8}}
    found = call({"lk.realtime_model_metrics": json.dumps(realtime)})
    assert found.usage.quantities == {"input_tokens": 10, "output_tokens": 5, "input_audio_tokens": 8}
    assert is_link({"gen_ai.request.model": "gpt-4o"}, scope="livekit-agents", name="llm_request_run")
    assert call(CHAT, scope="livekit-agents").usage.operation == "chat"
    for attempt in ("tts_request_run", "user_turn"):
        named = {"gen_ai.request.model": "nova-3", "gen_ai.provider.name": "deepgram"}
        assert is_link(named, scope="livekit-agents", name=attempt)


# LangWatch


@pytest.mark.parametrize(
    "metrics",
    [
        {"type": "json", "value": {"promptTokens": 9, "completionTokens": 2, "cost": 0.01}},
        {"prompt_tokens": 9, "completion_tokens": 2, "cost": "0.01"},
    ],
)
def test_langwatch_metrics_are_usage(metrics: dict[str, Any]) -> None:
    """Its cost is kept as stated."""
    found = call(
        {"langwatch.span.type": "llm", "gen_ai.request.model": "gpt-4o", "langwatch.metrics": json.dumps(metrics)}
    )
    assert found.usage.quantities == {"input_tokens": 9, "output_tokens": 2}
    assert (found.reported_cost_usd, found.reported_cost_source) == (Decimal("0.01"), "some.scope")
    assert found.usage.vendor_cost_usd is None


def test_langwatch_types_are_operations() -> None:
    """Everything but models and embeddings frames calls; a stated operation wins."""
    assert is_link({"langwatch.span.type": "agent", INPUT: 5})
    assert call({"langwatch.span.type": "embedding"}).usage.operation == "embeddings"
    assert call({"langwatch.span.type": "llm", "gen_ai.operation.name": "embeddings"}).usage.operation == "embeddings"
    assert call(CHAT, scope="langwatch").usage.operation == "chat"


# Vector stores


def test_pinecone_states_read_units() -> None:
    """Zero means unknown: then the request is all there is to count."""
    scope = "opentelemetry.instrumentation.pinecone"
    found = call({"pinecone.usage.read_units": 6, "pinecone.usage.write_units": 0}, scope=scope)
    assert (found.usage.operation, found.usage.provider) == ("retrieval", "pinecone")
    assert found.usage.quantities == {"read_units": 6}
    assert call({"pinecone.usage.read_units": 0}, scope=scope).usage.quantities == {"requests": 1}
    assert is_link({"user.id": "u"}, scope=scope)


# Our own


def test_our_own_transcription_of_a_file_is_batch() -> None:
    """Known because our instrumentors mark what streams."""
    attributes = {"gen_ai.operation.name": "speech_to_text", "gen_ai.usage.audio.input_seconds": 3.0}
    scope = "callfare.instrumentation.deepgram"
    assert call(attributes, scope=scope).usage.mode == "batch"
    assert call({**attributes, "gen_ai.request.stream": True}, scope=scope).usage.mode == "stream"
    assert call({**attributes, "gen_ai.usage.session.id": "s"}, scope=scope).usage.mode == "stream"
    assert call(attributes).usage.mode == ""


def test_recorded_audio_that_is_billed_by_tokens_has_no_mode() -> None:
    """Batch is a cheaper way to buy tokens, and not what a file that is transcribed at once is."""
    attributes = {
        "gen_ai.operation.name": "speech_to_text",
        "gen_ai.request.stream": False,
        "gen_ai.usage.audio.input_seconds": 3.0,
    }
    assert call(attributes).usage.mode == "batch"
    assert call({**attributes, "gen_ai.usage.input_tokens": 30}).usage.mode == ""


def test_speech_that_was_broken_off_says_so() -> None:
    """Barge-in: billed for what was sent, and visible as `priced (interrupted)`."""
    attributes = {"gen_ai.operation.name": "text_to_speech", "callfare.usage.characters": 78}
    reasons = "gen_ai.response.finish_reasons"
    assert call({**attributes, reasons: ["interrupted"]}, scope="callfare").issues == ("interrupted",)
    assert call({**attributes, reasons: ["stop"]}, scope="callfare").issues == ()
    assert call(attributes, scope="callfare").issues == ()


def test_a_producer_is_read_with_its_number_or_not_at_all() -> None:
    """Which process made the span and its running number; half of it says nothing."""
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    both = call({**chat, "callfare.producer.id": "p", "callfare.producer.seq": 7})
    assert (both.producer_id, both.producer_sequence) == ("p", 7)
    for half in ({"callfare.producer.id": "p"}, {"callfare.producer.seq": 7}, {"callfare.producer.seq": 0}):
        found = call({**chat, **half})
        assert (found.producer_id, found.producer_sequence) == ("", None)


@pytest.mark.parametrize("quantity", ["requests", "vectors", "messages", "web_searches", "charges"])
def test_a_count_stated_by_name_may_be_a_double(quantity: str) -> None:
    """As our own side writes it: 3.0 requests are three; two and a half are a mistake."""
    name = f"callfare.usage.{quantity}"
    whole = call({"gen_ai.operation.name": "retrieval", name: 3.0})
    assert (whole.usage.quantities, whole.issues) == ({quantity: 3}, ())
    assert isinstance(whole.usage.quantities[quantity], int)
    assert call({"gen_ai.operation.name": "retrieval", name: 2.5}).issues == (f"impossible_count:{quantity}",)


def test_every_quantity_has_a_plain_name() -> None:
    """`callfare.usage.<quantity>` for those without an attribute of their own."""
    found = call({**CHAT, "callfare.usage.pages": 3, "callfare.usage.charge_usd": 1.5}, scope="callfare")
    assert found.usage.quantities == {"pages": 3, "charge_usd": Decimal("1.5")}
