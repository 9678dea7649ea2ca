"""What instrumentations of Bedrock and Gemini say in their own way."""

from typing import Any

import pytest

from cost_exporter.domain.span import Call
from tests.read.otlp_spans import CHAT, call

INPUT, OUTPUT, TOTAL = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.total_tokens"
CACHED = {"gen_ai.usage.cache_read.input_tokens": 1000, "gen_ai.usage.cache_creation.input_tokens": 300}
BOTOCORE = "opentelemetry.instrumentation.botocore.bedrock-runtime"
TRACELOOP_BEDROCK = "opentelemetry.instrumentation.bedrock"
TRACELOOP_GOOGLE = "opentelemetry.instrumentation.google_generativeai"


@pytest.mark.parametrize("scope", [BOTOCORE, TRACELOOP_BEDROCK])
def test_bedrocks_input_is_without_what_was_cached(scope: str) -> None:
    """Even where more was not cached than was: then no arithmetic tells."""
    attributes = {**CHAT, "gen_ai.provider.name": "aws.bedrock", INPUT: 5000, OUTPUT: 120, **CACHED}
    found = call(attributes, scope=scope)
    assert found.usage.quantities["input_tokens"] == 5000 + 1000 + 300
    assert found.issues == ("exclusive_input",)
    assert call({**attributes, "gen_ai.provider.name": "openai"}, scope=scope).usage.quantities["input_tokens"] == 5000


def test_the_id_asked_for_says_where_bedrock_ran() -> None:
    """Claude answers with its own name, which has another price than the global profile."""
    asked = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
    named = {"gen_ai.request.model": asked, "gen_ai.response.model": "claude-sonnet-4-5-20250929"}
    assert call({**CHAT, **named, "gen_ai.provider.name": "aws.bedrock"}).usage.model == asked
    named["gen_ai.response.model"] = "claude-haiku-4-5-20251001"
    assert call({**CHAT, **named, "gen_ai.provider.name": "aws.bedrock"}).usage.model == "claude-haiku-4-5-20251001"


def failed(error_type: str, raised: str, **attributes: Any) -> Call:
    event = {"name": "exception", "attributes": [{"key": "exception.type", "value": {"stringValue": raised}}]}
    named = {"error.type": error_type} if error_type else {}
    return call({**CHAT, **named, **attributes}, status={"code": 2}, events=[event])


@pytest.mark.parametrize(
    ("error_type", "raised", "is_refused"),
    [
        ("ClientError", "botocore.exceptions.ClientError", True),
        ("", "google.genai.errors.ClientError", True),
        ("google.genai.errors.ServerError", "", True),
        ("ClientError", "aiohttp.client_exceptions.ClientError", False),
        ("ClientError", "", False),
        ("ReadTimeoutError", "botocore.exceptions.ReadTimeoutError", False),
        ("TimeoutError", "botocore.exceptions.ClientError", False),
    ],
)
def test_an_answer_with_an_error_is_a_refusal(error_type: str, raised: str, is_refused: bool) -> None:
    """Names that elsewhere mean other things are known by their module."""
    assert failed(error_type, raised).usage.is_refused is is_refused


def gemini(**attributes: Any) -> Call:
    named = {"gen_ai.operation.name": "generate_content", "gen_ai.provider.name": "gcp.gen_ai"}
    return call({**named, "gen_ai.request.model": "gemini-2.5-flash", **attributes}, scope=TRACELOOP_GOOGLE)


def test_thoughts_are_what_the_total_has_beyond_the_rest() -> None:
    """Google bills them as output, and Traceloop has them nowhere else; the record is an estimate."""
    found = gemini(**{INPUT: 1200, OUTPUT: 281, TOTAL: 1545})
    assert found.usage.quantities == {"input_tokens": 1200, "output_tokens": 345}
    assert found.usage.is_estimated
    assert found.issues == ("thoughts_from_total",)


@pytest.mark.parametrize(
    "counts", [{INPUT: 1200, OUTPUT: 281, TOTAL: 1481}, {INPUT: 1200, OUTPUT: 281}, {INPUT: 1200, TOTAL: 1545}]
)
def test_without_more_in_the_total_nothing_is_added(counts: dict[str, int]) -> None:
    """A missing count is never worked out from the others (phoenix#10783)."""
    found = gemini(**counts)
    assert found.usage.quantities.get("output_tokens") == counts.get(OUTPUT)
    assert not found.usage.is_estimated
    assert not gemini(**{INPUT: 5, OUTPUT: 5, TOTAL: "many"}).usage.is_estimated


@pytest.mark.parametrize(
    ("stated", "model"),
    [
        ("nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ("llama3-3-70b-instruct-v1:0", "meta.llama3-3-70b-instruct-v1:0"),
        ("mixtral-8x7b-instruct-v0:1", "mistral.mixtral-8x7b-instruct-v0:1"),
        ("r1-v1:0", "deepseek.r1-v1:0"),
        ("gpt-oss-20b-1:0", "openai.gpt-oss-20b-1:0"),
        ("claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929-v1:0"),
        ("amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ("gpt-5", "gpt-5"),
        ("my-own-model", "my-own-model"),
    ],
)
def test_traceloops_models_of_bedrock_get_their_vendor_back(stated: str, model: str) -> None:
    """It cuts off the vendor, without whom Bedrock has prices of Claude only; what it may have cut short stays so."""
    spoken = {**CHAT, "gen_ai.provider.name": "aws.bedrock", "gen_ai.request.model": stated}
    assert call({**spoken, "gen_ai.response.model": stated}, scope=TRACELOOP_BEDROCK).usage.model == model
    assert call(spoken, scope=TRACELOOP_BEDROCK).usage.model == model
    assert call(spoken, scope=BOTOCORE).usage.model == stated
