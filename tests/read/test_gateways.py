"""LiteLLM's proxy and Pydantic AI as they really send: recorded spans, what was billed, and the rules behind it."""

import json
from decimal import Decimal as D
from itertools import permutations
from typing import Any

import pytest

from cost_exporter.domain.cost import CostRecord
from cost_exporter.domain.settling.settle import TraceFacts, settle
from cost_exporter.domain.span import Call
from cost_exporter.prices import load_book
from tests.fixtures import otlp_json
from tests.read.otlp_spans import SPAN_ID, call, document, facts, is_link
from tests.read.test_corpus import calls

BOOK = load_book()
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"

# Provider, model, operation, status, cost: M tokens at the list's prices, as arithmetic.
RECORDED = [
    ("openai", "gpt-4.1-nano", "chat", "priced",
     (176 * D("0.10") + 1024 * D("0.025") + 345 * D("0.40")) / 10**6),
    ("google", "gemini-2.5-flash", "chat", "priced",
     (200 * D("0.30") + 1000 * D("0.03") + 345 * D("2.50")) / 10**6),
    ("openai", "gpt-4o-2024-08-06", "chat", "priced",
     (176 * D("2.50") + 1024 * D("1.25") + 345 * D(10)) / 10**6),
    ("openai", "gpt-image-1", "image_generation", "priced",
     (50 * D(5) + 1056 * D(40)) / 10**6),
    ("openai", "gpt-image-1", "image_generation", "priced",
     (50 * D(5) + 1056 * D(40)) / 10**6),
    ("openai", "gpt-4o", "chat", "priced", (1200 * D("2.50") + 345 * D(10)) / 10**6),
    ("google", "gemini-3-pro-image-preview", "chat", "priced",
     (337 * D(12) + 1120 * D(120) + 14 * D(2)) / 10**6),
    ("aws", "openai.gpt-5.6-luna", "chat", "priced", D("0.00004257")),
    ("openrouter", "google/gemini-2.5-flash", "chat", "estimated",
     D("0.000497013333")),
    ("azure", "my-deploy", "chat", "unpriced", None),
    ("mistral", "mistral-medium-latest", "chat", "priced", D("0.0013404")),
    ("openai", "tts-1", "text_to_speech", "no_usage", None),
    ("cohere", "rerank-v3.5", "rerank", "no_usage", None),
    ("openai", "gpt-5-mini", "chat", "priced", D(0)),
]  # fmt: skip


@pytest.fixture(scope="module")
def recorded() -> list[Call]:
    (path,) = [path for path in otlp_json.recorded_files("foreign") if path.stem == "gateways"]
    return calls(path)


def test_recorded_calls_cost_what_was_billed(recorded: list[Call]) -> None:
    """The provider's model is billed, whatever the gateway calls it."""
    quotes = [(each.usage, BOOK.price_of_call(each.usage)) for each in recorded]
    billed = [(of.provider, of.model, of.operation, quote.status, quote.amount_usd) for of, quote in quotes]
    assert sorted(billed, key=str) == sorted(RECORDED, key=str)


def test_an_unknown_deployment_is_named(recorded: list[Call]) -> None:
    """Nobody can price a deployment by the name that an operator gave it: the issue says which one it is."""
    (deployment,) = [each for each in recorded if each.usage.provider == "azure"]
    assert "my-deploy" in BOOK.price_of_call(deployment.usage).issues[0]


def test_the_gateways_own_cost_is_kept_as_reported(recorded: list[Call]) -> None:
    """Also where we know no usage."""
    reported = {each.usage.model: each.reported_cost_usd for each in recorded if not each.usage.quantities}
    assert reported == {"tts-1": D("0.000525"), "rerank-v3.5": D("0.002"), "gpt-5-mini": None}


# LiteLLM


@pytest.mark.parametrize(
    ("deployment", "group", "requested", "answered", "model"),
    [
        ("openai/gpt-4o", "smart", "gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),  # the vendor's answer
        ("openai/gpt-4o", "smart", "smart", "smart", "gpt-4o"),
        ("azure/deploy-1", "smart", "deploy-1", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),  # so is this one
        ("azure/deploy-1", "gpt-4o", "deploy-1", "gpt-4o", "deploy-1"),  # and this one may be anything
        ("bedrock/converse/us.amazon.nova-pro-v1:0", "", "nova", "nova", "us.amazon.nova-pro-v1:0"),
        ("bedrock/arn:aws:bedrock:us-east-1:1:inference-profile/x", "", "n", "n",
         "arn:aws:bedrock:us-east-1:1:inference-profile/x"),
        ("openrouter/google/gemini-2.5-flash", "", "gem", "", "google/gemini-2.5-flash"),
        ("openai/my/own", "smart", "x", "smart", "my/own"),
    ],
)  # fmt: skip
def test_the_model_of_the_deployment_is_billed(
    deployment: str, group: str, requested: str, answered: str, model: str
) -> None:
    """A public name of the proxy is never billed as if it were a model."""
    provider = deployment.partition("/")[0]
    attributes = {
        **CHAT,
        INPUT: 5,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": requested,
        "gen_ai.response.model": answered,
        "litellm.provider.model": deployment,
        "litellm.model_group": group,
    }
    assert call(attributes, scope="litellm").usage.model == model


@pytest.mark.parametrize(
    ("deployment", "requested", "answered", "model"),
    [
        ("openai/gpt-4.1-nano", "gpt-4.1-nano", "claude-opus-4-5", "gpt-4.1-nano"),
        ("openai/gpt-4.1-nano", "", "gpt-4o", "gpt-4.1-nano"),
        ("gemini/gemini-flash-latest", "gemini-flash-latest", "gemini-2.5-flash", "gemini-flash-latest"),
        ("azure/deploy-1", "deploy-1", "gpt-4o", "gpt-4o"),
        (None, "gpt-4.1-nano", "claude-opus-4-5", "gpt-4.1-nano"),
        ("bedrock/us.amazon.nova-pro-v1:0", "fast", "gpt-4o", "us.amazon.nova-pro-v1:0"),
    ],
)
def test_an_answer_that_may_be_an_alias_makes_an_estimate(
    deployment: str | None, requested: str, answered: str, model: str
) -> None:
    """Without the group nothing tells a public name from the vendor's own."""
    provider = (deployment or "openai/").partition("/")[0]
    attributes = {
        **CHAT,
        INPUT: 5,
        OUTPUT: 5,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": requested,
        "gen_ai.response.model": answered,
        "litellm.provider.model": deployment,
    }
    found = call(attributes, scope="litellm")
    assert (found.usage.model, found.usage.is_estimated) == (model, True)
    assert found.issues[0].startswith("assumed_model: asked for ")
    known = call({**attributes, "litellm.model_group": answered, "litellm.provider.model": "x/y"}, scope="litellm")
    assert not known.usage.is_estimated


@pytest.mark.parametrize(
    ("deployment", "answered"),
    [
        ("openai/gpt-4o", "gpt-4o-2024-08-06"),
        ("mistral/mistral-large-latest", "mistral-large-2411"),
        ("bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5-20251001"),
        (None, "gpt-4o-2024-08-06"),
        (None, ""),
    ],
)
def test_an_edition_of_the_model_is_its_answer(deployment: str | None, answered: str) -> None:
    """Nothing is doubted there."""
    asked = "gpt-4o" if deployment is None else deployment.partition("/")[2]
    names = {"gen_ai.request.model": asked, "gen_ai.response.model": answered, "litellm.provider.model": deployment}
    found = call({**CHAT, INPUT: 5, OUTPUT: 5, **names}, scope="litellm")
    assert not found.usage.is_estimated
    assert not found.issues


def raw(provider: str, answer: dict[str, Any], **span: Any) -> dict[str, Any]:
    attributes = {f"llm.{provider}.{name}": value for name, value in answer.items()}
    return document(attributes, scope="litellm", name="raw_gen_ai_request", **span)


ANTHROPIC_ANSWER = {
    "id": "msg_1",
    "model": "claude-sonnet-4-5",
    "usage": "{'input_tokens': 50, 'cache_read_input_tokens': 1000, 'output_tokens': 20}",
}


def test_the_raw_answer_is_a_call_where_nothing_else_arrived() -> None:
    """In the vendor's own words and under its own id."""
    (found,) = facts(raw("anthropic", ANTHROPIC_ANSWER)).calls
    assert found.usage.quantities == {"input_tokens": 1050, "cache_read_tokens": 1000, "output_tokens": 20}
    assert (found.usage.provider, found.usage.model, found.call_id) == (
        "anthropic",
        "claude-sonnet-4-5",
        "response:msg_1",
    )


@pytest.mark.parametrize("answer", [{"id": "x", "model": "gpt-4o"}, {}])
def test_a_raw_answer_without_usage_is_no_call(answer: dict[str, Any]) -> None:
    """The span above it is."""
    assert not facts(raw("openai", answer)).calls


@pytest.mark.parametrize(
    ("kind", "operation"), [("text_completion", "text_completion"), ("list", "embeddings"), ("chat.completion", "chat")]
)
def test_the_kind_of_a_raw_answer_says_its_operation(kind: str, operation: str) -> None:
    """Embeddings are a list."""
    usage = {"usage": "{'prompt_tokens': 5, 'total_tokens': 5}", "object": kind}
    assert facts(raw("openai", usage)).calls[0].usage.operation == operation


def test_gemini_answers_in_json_and_in_names_of_its_own() -> None:
    """`usageMetadata`, `modelVersion`, `responseId`."""
    answer = {
        "usageMetadata": '{"promptTokenCount": 7, "candidatesTokenCount": 3}',
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r",
    }
    (found,) = facts(raw("gemini", answer)).calls
    assert (found.usage.model, found.usage.quantities) == ("gemini-2.5-flash", {"input_tokens": 7, "output_tokens": 3})
    assert found.call_id == "response:r"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_request_and_its_raw_answer_are_one_call(provider: str) -> None:
    """One is billed, the other a duplicate of it, whether or not LiteLLM passes the vendor's id on."""
    usage = "{'prompt_tokens': 50, 'completion_tokens': 20, 'total_tokens': 70}"
    above = document(
        {
            **CHAT,
            "gen_ai.provider.name": provider,
            "gen_ai.response.id": "chatcmpl-own",
            INPUT: "50",
            OUTPUT: "20",
            "metadata.usage_object": usage,
        },
        scope="litellm",
        name="litellm_request",
    )
    words = {"id": "chatcmpl-own" if provider == "openai" else "msg_1", "model": "gpt-4o"}
    counts = usage if provider == "openai" else "{'input_tokens': 50, 'output_tokens': 20}"
    below = raw(provider, {**words, "usage": counts}, spanId="ab" * 8, parentSpanId=SPAN_ID)
    assert sorted(record.status == "duplicate" for record in settled(above, below)) == [False, True]


@pytest.mark.parametrize("answered", ["smart", "gpt-4o-mini", ""])
def test_an_instrumented_client_and_the_proxy_bill_one_call(answered: str) -> None:
    """The client knows the proxy's id and alias, the raw request the vendor's; the vendor's price counts."""
    client = document(
        {
            **CHAT,
            "gen_ai.request.model": "smart",
            "gen_ai.response.model": answered,
            "gen_ai.response.id": "chatcmpl-own",
            INPUT: 50,
            OUTPUT: 20,
        },
        scope="opentelemetry.instrumentation.openai.v1",
        spanId="0c" * 8,
    )
    proxy = document(
        {
            **CHAT,
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "smart",
            "gen_ai.response.model": "smart",
            "gen_ai.response.id": "chatcmpl-own",
            "litellm.provider.model": "anthropic/claude-sonnet-4-5",
            INPUT: 50,
            OUTPUT: 20,
        },
        scope="litellm",
        name="litellm_request",
        parentSpanId="0c" * 8,
    )
    answer = {"id": "msg_1", "model": "claude-sonnet-4-5", "usage": "{'input_tokens': 50, 'output_tokens': 20}"}
    behind = raw("anthropic", answer, spanId="ab" * 8, parentSpanId=SPAN_ID)
    for spans in permutations([client, proxy, behind]):
        records = settled(*spans)
        (billed,) = [record for record in records if record.status != "duplicate"]
        assert (billed.status, billed.cost_usd) == ("priced", (50 * D(3) + 20 * D(15)) / 10**6)
        assert billed.call.usage.model == "claude-sonnet-4-5"


def settled(*spans: dict[str, Any]) -> list[CostRecord]:
    calls = {(each.trace_id, each.span_id): each for each in facts(*spans).calls}
    given = TraceFacts(namespace="default", tenant_is_trusted=True, calls=calls, links={})
    return list(settle(given, BOOK.price_of_call).values())


@pytest.mark.parametrize(
    ("stated", "operation"),
    [
        ({"litellm.call_type": "aimage_generation"}, "image_generation"),
        ({"llm.request.type": "aspeech"}, "text_to_speech"),
        ({"litellm.call_type": "anthropic_messages"}, "chat"),
        ({"litellm.call_type": "something_new"}, "chat"),
        ({"litellm.call_type": "", "llm.request.type": "arerank"}, "rerank"),
    ],
)
def test_the_call_type_says_the_operation(stated: dict[str, str], operation: str) -> None:
    """LiteLLM calls an image `generate_content`; what its own word means is used first."""
    assert call({**CHAT, INPUT: 5, **stated}, scope="litellm").usage.operation == operation


FAILED = {"status": {"code": 2}}


def exception(kind: str) -> dict[str, Any]:
    event = {"name": "exception", "attributes": [{"key": "exception.type", "value": {"stringValue": kind}}]}
    return {**FAILED, "events": [event]}


@pytest.mark.parametrize(
    ("attributes", "span"),
    [
        ({"gen_ai.request.model": "gpt-4o"}, exception("fastapi.exceptions.HTTPException")),
        (CHAT, exception("litellm.proxy._types.ProxyException")),
        (CHAT, exception("BudgetExceededError")),
    ],
)
def test_what_the_proxy_refuses_is_no_call(attributes: dict[str, str], span: dict[str, Any]) -> None:
    """No provider was asked, and nothing looks as if one had been."""
    assert is_link(attributes, scope="litellm", **span)
    assert not facts(document(attributes, scope="litellm", **span)).look_alikes


@pytest.mark.parametrize(
    ("attributes", "span"),
    [
        (CHAT, exception("litellm.exceptions.RateLimitError")),
        ({"gen_ai.request.model": "gpt-4o", "litellm.provider.model": "openai/gpt-4o"}, exception("Timeout")),
        (CHAT, FAILED),
    ],
)
def test_what_a_provider_refuses_is_a_call(attributes: dict[str, str], span: dict[str, Any]) -> None:
    """It was asked, and may have billed."""
    assert call(attributes, scope="litellm", **span).usage.has_failed


@pytest.mark.parametrize("prefix", ["metadata.", "litellm.metadata."])
def test_keys_users_and_teams_of_the_proxy(prefix: str) -> None:
    """The alias of a key before its hash, the end user before the key's user; what is empty is absent."""
    metadata = {
        f"{prefix}user_api_key_alias": "",
        f"{prefix}user_api_key_hash": "2179e632e892",
        f"{prefix}user_api_key_end_user_id": "",
        f"{prefix}user_api_key_user_id": "user-1",
        f"{prefix}user_api_key_team_id": "team-red",
    }
    found = call({**CHAT, INPUT: 5, **metadata}, scope="litellm").attribution
    assert (found.api_key, found.user, found.tenant) == ("2179e632e892", "user-1", "team-red")
    aliased = {**metadata, f"{prefix}user_api_key_alias": "alpha", f"{prefix}user_api_key_end_user_id": "cust-7"}
    found = call({**CHAT, INPUT: 5, **aliased}, scope="litellm").attribution
    assert (found.api_key, found.user) == ("alpha", "cust-7")
    untrusted = facts(document({**CHAT, INPUT: 5, **metadata}, scope="litellm"), tenant_is_trusted=False)
    assert untrusted.calls[0].attribution.tenant is None


# Pydantic AI


def messages(*parts: object) -> dict[str, Any]:
    return {**CHAT, INPUT: 5, OUTPUT: 5, "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": parts}])}


SEARCH = {"type": "tool_call", "builtin": True, "name": "web_search"}


def test_searches_of_the_provider_are_counted_in_the_messages() -> None:
    """And marked as an estimate, since nothing states them."""
    found = call(messages(SEARCH, SEARCH, {"type": "text"}), scope="pydantic-ai")
    assert found.usage.quantities["web_searches"] == 2
    assert found.usage.is_estimated
    assert found.issues == ("counted_in_messages:web_searches",)
    stated = {**messages(SEARCH), "callfare.usage.web_searches": 3}
    assert call(stated, scope="pydantic-ai").usage.quantities["web_searches"] == 3


@pytest.mark.parametrize(
    "part",
    [
        {**SEARCH, "builtin": False},
        {**SEARCH, "name": "get_weather"},
        {**SEARCH, "type": "tool_call_response"},
        "web_search",
    ],
)
def test_other_tools_are_no_searches(part: object) -> None:
    """A tool of the application costs nothing at the provider."""
    assert "web_searches" not in call(messages(part), scope="pydantic-ai").usage.quantities


@pytest.mark.parametrize("text", ["[1]", '[{"parts": 1}]', "no json", ""])
def test_messages_of_another_shape_count_nothing(text: str) -> None:
    """They may be anything."""
    found = call({**CHAT, INPUT: 5, "gen_ai.output.messages": text}, scope="pydantic-ai")
    assert not found.usage.is_estimated


def test_an_error_before_any_request_is_no_call() -> None:
    """Nothing was asked; after an answer it is one."""
    failed = exception("pydantic_ai.exceptions.UserError")
    assert is_link(CHAT, scope="pydantic-ai", **failed)
    assert not facts(document(CHAT, scope="pydantic-ai", **failed)).look_alikes
    answered = {**CHAT, "gen_ai.response.model": "gpt-4o"}
    assert call(answered, scope="pydantic-ai", **exception("pydantic_ai.exceptions.UserError")).usage.has_failed
    assert call(CHAT, scope="pydantic-ai", **exception("httpx.ReadTimeout")).usage.has_failed
