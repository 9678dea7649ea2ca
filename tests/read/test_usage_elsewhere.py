"""Usage, tiers and models at places that no table lists: read there, or named, and never priced without."""

import json
from typing import Any

import pytest

from cost_exporter.domain.span import Call
from cost_exporter.prices import load_book
from tests.read.otlp_spans import CHAT, call, document, facts

COUNTED = {**CHAT, "gen_ai.usage.input_tokens": 5000, "gen_ai.usage.output_tokens": 100}
OPENAIS = {"prompt_tokens": 5000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 4480}}


def look_alike(attributes: dict[str, Any]) -> Call | None:
    found = facts(document(attributes, kind=1)).look_alikes
    return found[0] if found else None


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("gen_ai.usage.input_token_details", {"cached_tokens": 4480}),
        ("gen_ai.usage.prompt_tokens_details", {"cachedTokens": 4480}),
        ("gen_ai.usage.inputTokenDetails", {"cacheReadTokens": 4480}),
        ("llm.usage.input_tokens_details", {"cache_read": "4480"}),
    ],
)
def test_a_part_of_a_usage_object_under_a_name_of_its_own_is_read(name: str, part: dict[str, Any]) -> None:
    """As JSON, as the repr of a dict, and as a map."""
    for written in (json.dumps(part), repr(part), part):
        found = call({**COUNTED, name: written})
        assert (found.usage.quantities["cache_read_tokens"], found.issues) == (4480, ())


def test_what_is_not_known_in_a_part_is_named() -> None:
    """By the attribute and the path in it; what an application names is not looked into."""
    found = call({**COUNTED, "gen_ai.usage.input_token_details": json.dumps({"cached_foo_tokens": 4480})})
    assert found.issues == ("unread_usage: gen_ai.usage.input_token_details.cached_foo_tokens = 4480",)
    assert found.usage.is_estimated
    assert call({**COUNTED, "app.prompt_tokens_of": json.dumps({"a": 4480})}).issues == ()


@pytest.mark.parametrize("name", ["gen_ai.response.metadata", "app.response_metadata", "llm.output", "rawResponse"])
def test_a_usage_object_is_found_within_an_answer(name: str) -> None:
    """Only what its name says to be usage is looked at; the rest may be content."""
    envelope = {"id": 7, "created": 1_790_000_000, "answer": {"usage": OPENAIS, "n_tokens": 12}}
    found = call({**COUNTED, name: json.dumps(envelope)})
    assert (found.usage.quantities["cache_read_tokens"], found.issues) == (4480, ())
    foo = call({**COUNTED, name: json.dumps({"a": {"b": {"c": {"token_usage": {"cached_foo": 9}}}}})})
    assert foo.issues == (f"unread_usage: {name}.a.b.c.token_usage.cached_foo = 9",)
    deep = {"a": {"b": {"c": {"d": {"usage": OPENAIS}}}}}
    assert "cache_read_tokens" not in call({**COUNTED, name: json.dumps(deep)}).usage.quantities


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        ({"openai.usage": json.dumps(OPENAIS)}, "openai.usage"),
        ({"llm_output": json.dumps({"token_usage": OPENAIS})}, "llm_output.token_usage"),
    ],
)
def test_a_usage_object_alone_looks_like_a_call(attributes: dict[str, Any], shown: str) -> None:
    """Nothing else says that a provider was asked."""
    found = look_alike(attributes)
    assert found is not None
    assert found.issues == (f"looks_like_a_call: {shown}",)
    assert look_alike({"openai.usage": json.dumps({"prompt_tokens": 0, "images": 2})}) is None


@pytest.mark.parametrize(
    ("vendor", "counts", "cached", "issues"),
    [
        ("openai", {"cachedPromptTokens": 4480, "reasoningTokens": 50, "responseId": "x"}, 4480, ()),
        ("azure", {"cachedPromptTokens": 4480, "acceptedPredictionTokens": 3, "logprobs": []}, 4480, ()),
        ("deepseek", {"promptCacheHitTokens": 4480, "promptCacheMissTokens": 520}, 4480, ()),
        (
            "foo",
            {"cachedFooTokens": 4480, "created": 12},
            None,
            ("unread_usage: ai.response.providerMetadata.foo.cached_foo_tokens = 4480",),
        ),
    ],
)
def test_the_ai_sdk_hands_on_counts_beside_other_things(
    vendor: str, counts: dict[str, Any], cached: int | None, issues: tuple[str, ...]
) -> None:
    """Where a vendor has no usage object, its counts stand at the top."""
    attributes = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": "gpt-4o-mini",
        "ai.model.provider": "openai.chat",
        "ai.usage.promptTokens": 5000,
        "ai.usage.completionTokens": 100,
        "ai.response.providerMetadata": json.dumps({vendor: counts}),
    }
    found = call(attributes, scope="ai", kind=1)
    assert (found.usage.quantities.get("cache_read_tokens"), found.issues) == (cached, issues)


@pytest.mark.parametrize(
    ("name", "tier"),
    [
        ("gen_ai.response.service_tier", "flex"),
        ("llm.response.serviceTier", "priority"),
        ("app.service_tier", "batch"),
        ("gen_ai.usage.service_tier", "default"),
    ],
)
def test_a_service_tier_is_read_whatever_its_name_begins_with(name: str, tier: str) -> None:
    """The price depends on it. What was answered goes before what was asked for."""
    assert call({**COUNTED, name: tier}).usage.service_tier == tier.replace("default", "standard")
    both = {**COUNTED, "app.request.service_tier": "flex", "foo.response.service_tier": "priority"}
    assert call(both).usage.service_tier == "priority"


@pytest.mark.parametrize(
    ("provider", "model", "scope", "is_estimated"),
    [
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", "x", True),
        ("azure.ai.inference", "claude-sonnet-4-5", "x", True),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", "genkit", True),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", "pydantic-ai", False),
        ("gcp.vertex_ai", "gemini-2.5-flash", "x", False),
        ("openrouter", "anthropic/claude-sonnet-4.5", "x", False),
    ],
)
def test_claude_may_be_counted_without_cache_whoever_sells_it(
    provider: str, model: str, scope: str, is_estimated: bool
) -> None:
    """Google and Azure pass Anthropic's own API on."""
    asked = {**COUNTED, "gen_ai.provider.name": provider, "gen_ai.request.model": model}
    for _ in range(2):  # the second may go the short way
        assert not call(asked, scope=scope).issues
        found = call({**asked, "gen_ai.usage.cache_read.input_tokens": 3000}, scope=scope)
        assert found.usage.is_estimated == is_estimated
        assert [issue.startswith("assumed_inclusive: input_tokens = 5000, or 8000") for issue in found.issues] == (
            [True] if is_estimated else []
        )


@pytest.mark.parametrize("stated", ["litellm_proxy", "litellm", ""])
def test_a_proxy_bills_nobody(stated: str) -> None:
    """The provider that it asked does."""
    asked = {**COUNTED, "gen_ai.provider.name": stated, "litellm.provider.model": "anthropic/claude-haiku-4-5-20251001"}
    assert call(asked, scope="litellm").usage.provider == "anthropic"


def test_googles_default_version_is_the_model() -> None:
    """`@default` and `@latest` choose no other price; a date may."""
    for model in ("gemini-2.5-flash@default", "gemini-2.5-flash@latest"):
        asked = {**COUNTED, "gen_ai.provider.name": "gcp.vertex_ai", "gen_ai.request.model": model}
        assert call(asked).usage.model == "gemini-2.5-flash"


def test_tokens_of_video_are_a_part_of_the_input() -> None:
    """They cost what the rest of the input costs where the list has no row for them."""
    asked = {**COUNTED, "gen_ai.provider.name": "gcp.vertex_ai", "gen_ai.request.model": "gemini-2.5-flash"}
    found = call({**asked, "gen_ai.usage.video.input_tokens": 3000})
    assert (found.usage.quantities["input_video_tokens"], found.issues) == (3000, ())
    book = load_book()
    assert book.price_of_call(found.usage).amount_usd == book.price_of_call(call(asked).usage).amount_usd
    assert book.price_of_call(found.usage).status == "priced"
