"""What else a call says: refusals, costs, names, tier and mode."""

from decimal import Decimal
from typing import Any

import pytest

from tests.read.otlp_spans import CHAT, call

INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
D = Decimal


@pytest.mark.parametrize(
    ("attributes", "is_refused"),
    [
        ({"error.type": "RateLimitError"}, True),
        ({"error.type": "openai.RateLimitError"}, True),
        ({"error.type": "<class 'openai.InternalServerError'>"}, True),
        ({"error.type": "OpenAIRateLimitError"}, True),
        ({"error.type": "cohere.errors.too_many_requests_error.TooManyRequestsError"}, True),
        ({"error.type": "overloaded_error"}, True),
        ({"error.type": "APIConnectionError"}, True),
        ({"error.type": "ThrottlingException"}, True),
        ({"error.type": "429"}, True),
        ({"error.type": "408"}, False),
        ({"error.type": "200"}, False),
        ({"error.type": "TimeoutError"}, False),
        ({"error.type": "openai.APITimeoutError"}, False),
        ({"error.type": "ValidationError"}, False),
        ({"error.type": "openai.APIError"}, False),
        ({"error.type": "_OTHER"}, False),
        ({"http.response.status_code": 529}, True),
        ({"http.response.status_code": "401"}, True),
        ({"http.response.status_code": 504}, False),
        ({"http.status_code": 500}, True),
        ({"error.type": "RateLimitError", OUTPUT: 5}, False),
        ({"error.type": "RateLimitError", "gen_ai.response.id": "r1"}, False),
        ({"error.type": "RateLimitError", "gen_ai.response.time_to_first_chunk": 0.1}, False),
        ({"http.response.status_code": 400, OUTPUT: 5}, False),
        ({"callfare.call.refused": True}, True),
        ({"callfare.call.refused": False, "error.type": "RateLimitError"}, False),
    ],
)
def test_a_refusal_is_told_from_a_failure(attributes: dict[str, Any], is_refused: bool) -> None:
    """Refused is what was answered with an error, or not reached, before any output."""
    found = call({**CHAT, **attributes})
    assert found.usage.has_failed
    assert found.usage.is_refused is is_refused


def test_a_call_that_went_well_has_not_failed() -> None:
    """A status of 200, an empty error, a flag that says no."""
    for attributes in ({}, {"http.response.status_code": 200}, {"error.type": ""}, {"callfare.call.refused": False}):
        found = call({**CHAT, **attributes})
        assert not found.usage.has_failed
        assert not found.usage.is_refused


def test_the_error_may_be_an_event() -> None:
    """Logfire and OpenInference say it nowhere else; the last one counts."""
    events = [
        {"name": "First Token Stream Event"},
        {"name": "exception", "attributes": []},
        {
            "name": "exception",
            "attributes": [{"key": "exception.type", "value": {"stringValue": "openai.RateLimitError"}}],
        },
    ]
    refused = call(CHAT, status={"code": 2}, events=events[1:])
    assert (refused.error_type, refused.usage.is_refused) == ("openai.RateLimitError", True)
    assert not call(CHAT, status={"code": 2}, events=events).usage.is_refused
    nameless = call(CHAT, status={"code": 2}, events=events[:2])
    assert (nameless.error_type, nameless.usage.is_refused, nameless.usage.has_failed) == ("", False, True)


def test_a_refused_speech_keeps_what_was_asked() -> None:
    """A price row may bill on error."""
    found = call({"gen_ai.operation.name": "text_to_speech", "gen_ai.usage.input_characters": 20, "error.type": "401"})
    assert (found.usage.is_refused, dict(found.usage.quantities)) == (True, {"characters": 20})


COST = {"gen_ai.usage.vendor_cost": "-0.02800", "gen_ai.usage.vendor_cost_currency": "usd"}


def test_vendor_cost_is_trusted_from_our_own_instrumentation() -> None:
    """Twilio's is negative on the wire; elsewhere it is kept and not believed, unless the operator says so."""
    ours = call({**CHAT, **COST}, scope="callfare.instrumentation.twilio")
    assert (ours.reported_cost_usd, ours.usage.vendor_cost_usd) == (D("0.02800"), D("0.02800"))
    assert ours.reported_cost_source == "callfare.instrumentation.twilio/vendor"
    theirs = call({**CHAT, **COST})
    assert (theirs.reported_cost_usd, theirs.usage.vendor_cost_usd) == (D("0.02800"), None)
    assert call({**CHAT, **COST}, trusted=frozenset({"some.scope"})).usage.vendor_cost_usd == D("0.02800")
    assert call({**CHAT, **COST}, trusted=frozenset({"openai"})).usage.vendor_cost_usd == D("0.02800")


@pytest.mark.parametrize(
    ("attributes", "cost", "source"),
    [
        ({"operation.cost": 0.0003102}, D("0.0003102"), "some.scope"),
        ({"gen_ai.cost.total_cost": 0.02, "gen_ai.cost.input_cost": 0.01}, D("0.02"), "some.scope"),
        ({"gen_ai.usage.cost": "0.5"}, D("0.5"), "some.scope"),
        ({"llm.cost.total": 1}, D(1), "some.scope"),
        ({"gen_ai.usage.cost.amount": 0.25, "gen_ai.usage.cost.source": "provider"}, D("0.25"), "some.scope/provider"),
        ({"gen_ai.usage.cost": 0.25, "gen_ai.usage.cost.source": "provider"}, D("0.25"), "some.scope/provider"),
        ({"gen_ai.usage.cost": 0.25, "gen_ai.usage.cost.source": "Local"}, D("0.25"), "some.scope/local"),
        ({"gen_ai.usage.cost": 0, "gen_ai.usage.cost.source": "provider"}, D(0), "some.scope/provider"),
        ({"gen_ai.usage.cost": 0, "gen_ai.usage.cost.source": "local"}, None, ""),
        ({"gen_ai.usage.cost.amount": 0, "gen_ai.usage.cost.source": "provider"}, D(0), "some.scope/provider"),
        ({"gen_ai.usage.cost": 0.25, "gen_ai.usage.cost.currency": "EUR"}, None, ""),
        ({"gen_ai.usage.cost.amount": 0.25, "gen_ai.usage.cost.currency": "EUR"}, None, ""),
        ({"gen_ai.usage.cost": 0}, None, ""),
        ({"gen_ai.usage.cost": -1}, None, ""),
        ({"gen_ai.usage.cost": "free"}, None, ""),
        ({"gen_ai.usage.vendor_cost": "0"}, D(0), "some.scope/vendor"),
        ({"gen_ai.usage.cost": 0, "llm.cost.total": 2}, D(2), "some.scope"),
    ],
)
def test_costs_on_spans_are_kept_with_their_source(attributes: dict[str, Any], cost: D | None, source: str) -> None:
    """Never summed with their parts; a zero that nobody at the vendor said is no cost."""
    found = call({**CHAT, **attributes})
    assert (found.reported_cost_usd, found.reported_cost_source) == (cost, source)


@pytest.mark.parametrize("name", ["gen_ai.usage.cost", "gen_ai.usage.cost.amount"])
@pytest.mark.parametrize(("source", "cost"), [("provider", D("0.5")), ("", D("0.5")), ("local", None)])
def test_an_emitters_own_estimate_is_never_the_vendors_cost(name: str, source: str, cost: D | None) -> None:
    """The operator trusts a scope for what the vendor stated; what it worked out itself is kept beside ours."""
    stated = {**CHAT, name: "0.5", "gen_ai.usage.cost.source": source}
    found = call(stated, trusted=frozenset({"some.scope"}))
    assert (found.reported_cost_usd, found.usage.vendor_cost_usd) == (D("0.5"), cost)


def test_foreign_and_impossible_costs_are_named() -> None:
    """Money in another currency is not converted here."""
    assert call({**CHAT, "gen_ai.usage.cost.amount": 1, "gen_ai.usage.cost.currency": "EUR"}).issues == (
        "foreign_currency",
    )
    assert call({**CHAT, "gen_ai.usage.cost": 1e15}).issues == ("impossible_cost",)


@pytest.mark.parametrize(
    ("attributes", "provider", "model"),
    [
        ({"gen_ai.provider.name": "azure.ai.openai"}, "azure", "gpt-4o-mini"),
        ({"gen_ai.provider.name": "openai.chat"}, "openai", "gpt-4o-mini"),
        ({"gen_ai.provider.name": "google.vertex.chat"}, "google", "gpt-4o-mini"),
        ({"gen_ai.provider.name": "vertex.anthropic.messages"}, "google", "gpt-4o-mini"),
        ({"gen_ai.provider.name": "ElevenLabs"}, "elevenlabs", "gpt-4o-mini"),
        ({"server.address": "api.groq.com"}, "groq", "gpt-4o-mini"),
        ({"gen_ai.openai.api_base": "https://user:key@api.groq.com:443/openai/v1/"}, "groq", "gpt-4o-mini"),
        ({"gen_ai.response.model": "openai/gpt-4o"}, "openai", "gpt-4o"),
        ({"gen_ai.response.model": "models/gemini-2.5", "gen_ai.provider.name": "gcp.gemini"}, "google", "gemini-2.5"),
        (
            {"gen_ai.response.model": "anthropic/claude", "gen_ai.provider.name": "openrouter"},
            "openrouter",
            "anthropic/claude",
        ),
        ({"gen_ai.response.model": "openai/", "gen_ai.provider.name": ""}, "", "openai/"),
    ],
)
def test_names_are_canonical(attributes: dict[str, Any], provider: str, model: str) -> None:
    """However they were spelt; the host that was asked outranks the provider that was named."""
    usage = call({**CHAT, **attributes}).usage
    assert (usage.provider, usage.model) == (provider, model)
    assert usage.request_model == "gpt-4o-mini"


def test_host_and_region_are_of_the_request() -> None:
    """The host without port, path and credentials; the region that Amazon's host names carry."""
    usage = call({**CHAT, "server.address": "bedrock-runtime.us-east-1.amazonaws.com"}).usage
    assert (usage.base_url, usage.region, usage.provider) == (
        "bedrock-runtime.us-east-1.amazonaws.com",
        "us-east-1",
        "aws",
    )
    assert call({**CHAT, "url.full": "http://127.0.0.1:21000/v1?key=x"}).usage.base_url == "127.0.0.1"


@pytest.mark.parametrize(
    ("attributes", "tier", "mode"),
    [
        ({"openai.response.service_tier": "default", "openai.request.service_tier": "flex"}, "standard", ""),
        ({"openai.request.service_tier": "flex"}, "flex", ""),
        ({"openai.request.service_tier": "auto"}, "", ""),
        # OpenLIT's word for a tier that the answer did not name.
        ({"openai.response.service_tier": "auto", "openai.request.service_tier": "flex"}, "flex", ""),
        ({"anthropic.response.service_tier": "batch"}, "batch", "batch"),
        ({"gen_ai.request.stream": True}, "", "stream"),
        ({"gen_ai.is_streaming": False}, "", ""),
        ({"gen_ai.request.stream": "true"}, "", "stream"),
        ({"gen_ai.request.stream": 3, "gen_ai.is_streaming": True}, "", "stream"),
    ],
)
def test_tier_and_mode(attributes: dict[str, Any], tier: str, mode: str) -> None:
    """The tier of the answer outranks the one asked for."""
    usage = call({**CHAT, **attributes}).usage
    assert (usage.service_tier, usage.mode) == (tier, mode)


def test_an_estimate_is_marked() -> None:
    """Only where the emitter says it is one."""
    assert call({**CHAT, "gen_ai.usage.source": "estimated"}).usage.is_estimated
    assert not call({**CHAT, "gen_ai.usage.source": "client"}).usage.is_estimated


@pytest.mark.parametrize(("stated", "is_billable"), [(False, False), (True, True), ("false", False), ("?", True)])
def test_a_framework_may_give_way(stated: Any, is_billable: bool) -> None:
    """`gen_ai.usage.billable` is false where a leaf is instrumented too."""
    assert call({**CHAT, "gen_ai.usage.billable": stated}).is_billable is is_billable
