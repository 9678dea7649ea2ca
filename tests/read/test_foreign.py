"""Spans of other clients, suites, gateways and bug reports, which were read wrongly once: their figures, one by one."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from cost_exporter.domain.span import Call, EmitterRank
from tests.fixtures import otlp_json
from tests.read.otlp_spans import CHAT, call, is_link
from tests.read.test_corpus import calls


@pytest.fixture(scope="module")
def found() -> Mapping[str, list[Call]]:
    return {path.stem: calls(path) for path in otlp_json.recorded_files("foreign")}


def one(found: Mapping[str, list[Call]], file: str, call_id: str = "", **usage: str) -> Call:
    """Return the one call with this response id, or these words in its usage."""
    (only,) = [
        each
        for each in found[file]
        if (not call_id or each.call_id == f"response:{call_id}")
        and all(getattr(each.usage, name, getattr(each, name, "")) == word for name, word in usage.items())
    ]
    return only


@pytest.mark.parametrize(
    ("file", "call_id", "quantities"),
    [
        (
            "clients",
            "msg_ai5-grpc000201",
            {
                "input_tokens": 1254,
                "cache_read_tokens": 501,
                "cache_write_5m_tokens": 261,
                "cache_write_1h_tokens": 241,
            },
        ),
        ("clients", "msg_ai5-grpc000204", {"input_tokens": 1266, "cache_read_tokens": 504, "cache_write_tokens": 508}),
        ("clients", "msg_ai5-smal000202", {"input_tokens": 41908, "output_tokens": 706}),
        ("clients", "msg_ai6-pb000114", {"input_tokens": 906, "cache_write_5m_tokens": 174}),
        ("clients", "msg_spring-s000204", {"input_tokens": 41916, "cache_read_tokens": 1204}),
        ("clients", "chatcmpl-spring-a005063", {"input_tokens": 36441, "cache_read_tokens": 5163}),
        (
            "gateways",
            "chatcmpl-p04",
            {"input_tokens": 1200, "output_tokens": 345, "cache_read_tokens": 1024},
        ),
    ],
)
def test_totals_are_inclusive(
    found: Mapping[str, list[Call]], file: str, call_id: str, quantities: dict[str, int]
) -> None:
    """Whoever counts without what was cached: the AI SDK 5, Spring AI; and who counts with it."""
    counted = one(found, file, call_id).usage.quantities
    assert {name: counted.get(name) for name in quantities} == quantities


@pytest.mark.parametrize(
    ("file", "words", "quantities"),
    [
        (
            "reports",
            {"model": "claude-haiku-4-5-20251001"},
            {"input_tokens": 17010, "cache_read_tokens": 15000, "cache_write_tokens": 2000},
        ),
        (
            "reports",
            {"model": "gpt-realtime", "scope": "@mastra/otel"},
            {"input_audio_tokens": 800, "output_audio_tokens": 250},
        ),
        ("reports", {"model": "gemini-2.0-flash"}, {"input_tokens": 361, "output_tokens": 53}),
        ("reports", {"model": "o4-mini-2025-04-16", "service_tier": "flex"}, {"input_tokens": 1000}),
        ("reports", {"model": "o4-mini-2025-04-16", "service_tier": "priority"}, {"input_tokens": 1000}),
        ("reports", {"model": "gemini-3.1-pro-preview"}, {"input_tokens": 2089, "output_tokens": 1213}),
        ("suites", {"model": "gemini-2.5-flash"}, {"input_tokens": 11, "output_tokens": 207}),
        ("suites", {"model": "command-r-08-2024"}, {"input_tokens": 12}),
        ("suites", {"model": "command-a-03-2025", "operation": "chat"}, {"input_tokens": 730}),
        ("gateways", {"model": "gemini-3-pro-image-preview"}, {"output_image_tokens": 1120, "reasoning_tokens": 174}),
        ("gateways", {"model": "mistral-medium-latest"}, {"cache_read_tokens": 976}),
        ("gateways", {"model": "openai.gpt-5.6-luna", "provider": "aws"}, {"cache_write_tokens": 86}),
    ],
)
def test_names_of_other_emitters_are_known(
    found: Mapping[str, list[Call]], file: str, words: dict[str, str], quantities: dict[str, int]
) -> None:
    """Claude Code, Mastra, the Agent Development Kit, Langfuse's tiers, Traceloop's LangChain, Pydantic AI."""
    counted = one(found, file, **words).usage.quantities
    assert {name: counted.get(name) for name in quantities} == quantities


@pytest.mark.parametrize(
    ("call_id", "model", "operation"),
    [
        ("chatcmpl-p01", "gpt-4.1-nano", "chat"),
        ("chatcmpl-p09", "gpt-4o", "chat"),
        ("chatcmpl-p16", "", ""),
    ],
)
def test_a_proxys_alias_is_no_model(found: Mapping[str, list[Call]], call_id: str, model: str, operation: str) -> None:
    """LiteLLM's proxy answers with the public name, which may be that of another model."""
    if model:
        usage = one(found, "gateways", call_id).usage
        assert (usage.model, usage.request_model, usage.operation) == (model, model, operation)
    else:
        assert one(found, "gateways", provider="azure").usage.model == "my-deploy"


def test_a_proxys_requests_say_what_they_are(found: Mapping[str, list[Call]]) -> None:
    """Images and speech are told by the type of the request; who called is attribution; its cost is kept beside."""
    images = [each for each in found["gateways"] if each.usage.operation == "image_generation"]
    assert [each.usage.model for each in images] == ["gpt-image-1", "gpt-image-1"]
    speech = one(found, "gateways", operation="text_to_speech")
    assert (speech.usage.provider, speech.usage.quantities, str(speech.reported_cost_usd)) == ("openai", {}, "0.000525")
    who = one(found, "gateways", "chatcmpl-p09").attribution
    assert (who.api_key, who.user, who.tenant) == ("alpha-key", "cust-7", "team-red")


def test_an_answer_of_the_vendor_is_believed() -> None:
    """A dated name is no alias."""
    asked = {
        "litellm.provider.model": "azure/my-deploy",
        "litellm.model_group": "public",
        "gen_ai.request.model": "my-deploy",
    }
    answered = call({**CHAT, **asked, "gen_ai.response.model": "gpt-4o-2024-08-06"}, scope="litellm").usage
    assert (answered.model, answered.request_model) == ("gpt-4o-2024-08-06", "my-deploy")


@pytest.mark.parametrize(
    ("model", "provider", "named", "region"),
    [
        (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "anthropic",
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "eu-west-1",
        ),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic", "", ""),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic", "", ""),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "", "", ""),
        ("openai.gpt-oss-120b-1:0", "openai", "", ""),
    ],
)
def test_a_bedrock_id_is_bedrocks_whoever_asked(model: str, provider: str, named: str, region: str) -> None:
    """Regional and global profiles and ARNs, under a vendor's own name."""
    usage = call({**CHAT, "gen_ai.provider.name": provider, "gen_ai.request.model": model}).usage
    assert (usage.provider, usage.model, usage.region) == ("aws", named or model, region)


@pytest.mark.parametrize(
    ("provider", "model", "billed_by", "named"),
    [
        ("gateway", "openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("gateway", "anthropic/claude-sonnet-4.5", "anthropic", "claude-sonnet-4-5"),
        ("vercel", "gpt-4o-mini", "vercel", "gpt-4o-mini"),
        ("openrouter", "openai/gpt-4o-mini", "openrouter", "openai/gpt-4o-mini"),
    ],
)
def test_behind_a_gateway_stands_the_models_vendor(provider: str, model: str, billed_by: str, named: str) -> None:
    """As the prefix names it; a reseller with prices of its own is none."""
    usage = call({**CHAT, "gen_ai.provider.name": provider, "gen_ai.request.model": model}).usage
    assert (usage.provider, usage.model) == (billed_by, named)


@pytest.mark.parametrize(
    ("status", "is_refused"),
    [
        ("401: bad key", True),
        ("Error: 401 bad key", True),
        ("ModelHTTPError: status_code: 400, model_name: gpt-5-mini", True),
        ("Error code: 429 - slow down", True),
        ("HTTP 403 - forbidden", True),
        ("Response status code does not indicate success: 401 (Unauthorized).", True),
        ("Service request failed.\nStatus: 404 (Not Found)", True),
        ("status_code: 504, too late", False),
        ("the answer took 450 seconds", False),
        ("500 tokens were generated before the connection broke", False),
        ("Status: 429ms late", False),
        ("500 Server Error", True),
        ("", False),
    ],
)
def test_an_http_status_in_words_is_a_refusal(status: str, is_refused: bool) -> None:
    """Of errors whose name says nothing; a time-out may have been billed."""
    refused = call(CHAT, status={"code": 2, "message": status})
    assert refused.usage.is_refused == is_refused
    assert not call({**CHAT, "gen_ai.usage.output_tokens": 5}, status={"code": 2, "message": status}).usage.is_refused


@pytest.mark.parametrize(
    ("answered", "asked", "is_alias"),
    [("fast", "gpt-4.1-nano", True), ("gpt-4.1", "gpt-4.1-nano", True), ("gpt-4.1-nano", "gpt-4.1-nano", False)],
)
def test_a_gateway_that_resolves_an_alias_is_billed_before_its_client(
    answered: str, asked: str, is_alias: bool
) -> None:
    """An SDK that is pointed at the proxy knows the public name only."""
    attributes = {**CHAT, "gen_ai.request.model": asked, "gen_ai.response.model": answered}
    found = call(
        {**attributes, "litellm.model_group": answered, "litellm.provider.model": f"openai/{asked}"}, scope="litellm"
    )
    assert (found.usage.model, found.emitter_rank is EmitterRank.GATEWAY) == (asked, is_alias)


def test_a_status_within_the_name_of_an_error_is_a_refusal() -> None:
    """Some write what the error said where its name belongs."""
    assert call({**CHAT, "error.type": "OpenAIException: 429 Too Many Requests"}).usage.is_refused
    assert not call({**CHAT, "error.type": "OpenAIException: 504 Gateway Time-out"}).usage.is_refused


@pytest.mark.parametrize(
    "name",
    [
        "com.openai.errors.UnauthorizedException",
        "org.springframework.web.client.HttpClientErrorException$TooManyRequests",
        "System.ClientModel.ClientResultException",
        "pydantic_ai.exceptions.ModelHTTPError",
    ],
)
def test_refusals_have_names_in_other_languages(name: str) -> None:
    """Java, .NET, and frameworks' own."""
    assert call({**CHAT, "error.type": name}).usage.is_refused


def test_langfuse_says_that_a_call_failed_by_its_level() -> None:
    """Its spans have no status."""
    attributes: dict[str, Any] = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4o",
    }
    refused = call(
        {**attributes, "langfuse.observation.level": "ERROR", "langfuse.observation.status_message": "Error: 401 no"}
    )
    assert (refused.usage.is_refused, refused.usage.has_failed) == (True, True)
    assert not call({**attributes, "langfuse.observation.level": "DEFAULT"}).usage.has_failed


@pytest.mark.parametrize(
    ("provider", "attributes", "scope", "expected", "issue"),
    [
        # Input + cached + output: the cached are beside the input, whoever says so.
        ("openai", {"gen_ai.usage.total_tokens": 11_500}, "x", {"input_tokens": 11_000}, "exclusive_input"),
        # Input + output proves nothing: the table decides, and where it does not, the record says so.
        ("openai", {"gen_ai.usage.total_tokens": 8_500}, "x", {"input_tokens": 8_000}, ""),
        (
            "anthropic",
            {"gen_ai.usage.total_tokens": 8_500},
            "x",
            {"input_tokens": 8_000},
            "assumed_inclusive: input_tokens = 8000, or 11000 if the cached are beside it",
        ),
        ("anthropic", {}, "org.springframework.boot", {"input_tokens": 11_000}, "exclusive_input"),
        ("anthropic", {}, "genkit-tracer", {"input_tokens": 11_000}, "exclusive_input"),
        ("openai", {}, "org.springframework.boot", {"input_tokens": 8_000}, ""),
        ("anthropic", {}, "opentelemetry.instrumentation.anthropic", {"input_tokens": 8_000}, ""),
        # Thoughts beside the output, by the total, by the table, or because they are more than it.
        (
            "openai",
            {"gen_ai.usage.reasoning_tokens": 200, "gen_ai.usage.total_tokens": 8_700},
            "x",
            {"output_tokens": 700},
            "thoughts_beside_output",
        ),
        ("google", {"gen_ai.usage.reasoning_tokens": 900}, "x", {"output_tokens": 1400}, "thoughts_beside_output"),
        (
            "google",
            {"gen_ai.usage.reasoning_tokens": 20},
            "openlit.instrumentation.google_ai_studio",
            {"output_tokens": 520},
            "thoughts_beside_output",
        ),
        ("google", {"gen_ai.usage.reasoning_tokens": 20}, "x", {"output_tokens": 500}, ""),
        # What nobody knows of.
        ("google", {"gen_ai.usage.total_tokens": 8_900}, "x", {"output_tokens": 900}, "thoughts_from_total"),
        (
            "openai",
            {"gen_ai.usage.total_tokens": 9_000},
            "x",
            {"input_tokens": 8_000, "output_tokens": 500},
            "total_mismatch: total_tokens = 9000, input and output are 8500",
        ),
        (
            "openai",
            {"gen_ai.usage.total_tokens": 7_000},
            "x",
            {"input_tokens": 8_000},
            "total_mismatch: total_tokens = 7000, input and output are 8500",
        ),
    ],
)
def test_a_total_proves_only_what_it_excludes(
    provider: str, attributes: dict[str, int], scope: str, expected: dict[str, int], issue: str
) -> None:
    """No reading is chosen for being dearer or cheaper."""
    counted = {
        **CHAT,
        "gen_ai.provider.name": provider,
        "gen_ai.usage.input_tokens": 8_000,
        "gen_ai.usage.cache_read.input_tokens": 3_000,
        "gen_ai.usage.output_tokens": 500,
        **attributes,
    }
    for _ in range(2):  # the second may go the short way
        found = call(counted, scope=scope)
        assert {name: found.usage.quantities[name] for name in expected} == expected
        assert found.issues == ((issue,) if issue else ())
        is_sure = not issue.startswith(("assumed", "total", "thoughts_from"))
        assert (found.usage.is_estimated, found.usage.is_incomplete) == (
            not is_sure,
            issue.startswith("total_mismatch: total_tokens = 9"),
        )


def test_writes_that_are_among_the_tokens_read_are_not_beside_them() -> None:
    """OpenRouter states Gemini's so. It bills them for storage on top, which is not known here: partial."""
    counted = {
        **CHAT,
        "gen_ai.usage.input_tokens": 2168,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 2161,
        "gen_ai.usage.cache_creation.input_tokens": 2161,
    }
    found = call(counted)
    assert found.usage.quantities == {"input_tokens": 2168, "output_tokens": 100, "cache_read_tokens": 2161}
    assert found.usage.is_incomplete
    assert found.issues == ("overlapping_cache: cache_write_tokens = 2161 are among those read",)


def test_the_ai_sdk_hands_on_what_the_vendor_said() -> None:
    """Of Google and Bedrock what the SDK leaves out; what is no usage object is left alone."""
    attributes = {
        "ai.operationId": "ai.generateText.doGenerate",
        "gen_ai.system": "google",
        "gen_ai.request.model": "gemini",
    }
    metadata = {
        "google": {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 3}},
        "bedrock": {"usage": "none"},
        "openai": "nothing",
    }
    found = call({**attributes, "ai.response.providerMetadata": json.dumps(metadata)}, scope="ai").usage
    assert found.quantities == {"input_tokens": 9, "output_tokens": 7, "reasoning_tokens": 3}


def test_the_development_kit_names_itself_for_the_vendor() -> None:
    """The prefix of the model says who was asked, else the model itself; a total that fits is left alone."""
    scope = "gcp.vertex.agent"
    attributes = {"gen_ai.system": scope, "gen_ai.request.model": "openai/gpt-4o", "gen_ai.usage.output_tokens": 7}
    assert call({**attributes, f"{scope}.llm_response": "{}"}, scope=scope, name="call_llm").usage.provider == "openai"
    known = {
        **attributes,
        "gen_ai.system": "gemini",
        f"{scope}.llm_response": '{"usage_metadata": {"total_token_count": 9}}',
    }
    assert call(known, scope=scope).usage.quantities["output_tokens"] == 7


def test_a_raw_request_says_whose_answer_it_repeats() -> None:
    """One without usage frames the other span of its call; a vendor that is not listed is read all the same."""
    raw = {"llm.foo.usage": '{"prompt_tokens": 9, "completion_tokens": 5}', "llm.foo.model": "m"}
    found = call(raw, scope="litellm", name="raw_gen_ai_request").usage
    assert (found.provider, found.model, found.quantities) == ("foo", "m", {"input_tokens": 9, "output_tokens": 5})
    assert is_link({"llm.openai.usage": "None"}, scope="litellm", name="raw_gen_ai_request")


def test_thoughts_that_exceed_the_output_go_the_long_way() -> None:
    """However plain the spans before it were."""
    attributes = {
        **CHAT,
        "gen_ai.provider.name": "google",
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 5,
    }
    assert call({**attributes, "gen_ai.usage.reasoning_tokens": 3}).issues == ()
    assert call({**attributes, "gen_ai.usage.reasoning_tokens": 7}).issues == ("thoughts_beside_output",)


def test_langchain_under_openinference_says_who_was_asked_and_answered(found: Mapping[str, list[Call]]) -> None:
    """In its metadata, and in the answer's own object."""
    (resp,) = [each for each in found["clients"] if each.call_id == "response:resp_js-lc00000225"]
    assert (resp.usage.provider, resp.usage.quantities["cache_read_tokens"]) == ("openai", 325)
