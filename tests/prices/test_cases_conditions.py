"""Conditions: context tiers, service tiers and batch, dates, hours and weekdays, request fees, regions, names."""

from decimal import Decimal as D

import pytest

from tests.prices.cases import ANTHROPIC, BEDROCK, GOOGLE, NOON, OPENAI, Case, M, check

XAI = "docs.x.ai/docs/models: from 200,000 on"

# provider, model, threshold, is the threshold itself dearer, base in/out, dear in/out, source
TIERS = [
    ("google", "gemini-2.5-pro", 200_000, False, ("1.25", "10"), ("2.5", "15"), GOOGLE),
    ("google", "gemini-1.5-flash", 128_000, False, ("0.075", "0.3"), ("0.15", "0.6"), GOOGLE),
    ("anthropic", "claude-sonnet-4-5", 200_000, False, ("3", "15"), ("6", "22.5"), ANTHROPIC),
    ("openai", "gpt-6.1-sol", 272_000, False, ("2", "10"), ("4", "15"), OPENAI),
    ("openai", "gpt-5.4", 272_000, False, ("2.5", "15"), ("5", "22.5"), OPENAI),
    ("x-ai", "grok-4.5", 200_000, True, ("2", "6"), ("4", "12"), XAI),
    ("x-ai", "grok-4.7", 200_000, True, ("2", "6"), ("4", "12"), XAI),
]


@pytest.mark.parametrize("offset", [-1, 0, 1])
@pytest.mark.parametrize(("provider", "model", "threshold", "is_inclusive", "base", "dear", "source"), TIERS)
def test_context_tier(
    *,
    provider: str,
    model: str,
    threshold: int,
    is_inclusive: bool,
    base: tuple[str, str],
    dear: tuple[str, str],
    source: str,
    offset: int,
) -> None:
    """Past the cliff the whole request is dearer; whether the threshold itself counts is the provider's word."""
    tokens = threshold + offset
    is_dear = tokens > threshold or (is_inclusive and tokens == threshold)
    price_in, price_out = dear if is_dear else base
    lines = {"input_tokens": D(price_in) * tokens / M, "output_tokens": D(price_out) * 100 / M}
    usage = {"input_tokens": tokens, "output_tokens": 100}
    check(Case(provider=provider, model=model, usage=usage, lines=lines, source=source))


def test_cached_tokens_count_towards_the_cliff() -> None:
    """The cliff goes by the total input, cached tokens included."""
    usage = {"input_tokens": 200_001, "cache_read_tokens": 200_000, "output_tokens": 1}
    lines = {
        "input_tokens": D("2.5") * 1 / M,
        "cache_read_tokens": D("0.25") * 200_000 / M,
        "output_tokens": D(15) * 1 / M,
    }
    check(Case(provider="google", model="gemini-2.5-pro", usage=usage, lines=lines, source=GOOGLE))


# provider, model, what the call said, input, output, source
SERVED = [
    ("openai", "gpt-4o-mini", {"service_tier": "batch"}, "0.075", "0.3", OPENAI),
    ("openai", "gpt-4o-mini", {"mode": "batch"}, "0.075", "0.3", OPENAI),
    ("openai", "gpt-4o", {"mode": "batch"}, "1.25", "5", OPENAI),
    ("openai", "gpt-4.1", {"mode": "batch"}, "1", "4", OPENAI),
    ("openai", "gpt-5.4", {"service_tier": "flex"}, "1.25", "7.5", OPENAI),
    ("openai", "gpt-5.4", {"service_tier": "priority"}, "5", "30", OPENAI),
    ("openai", "gpt-5.4", {"service_tier": "default"}, "2.5", "15", OPENAI),
    ("openai", "gpt-5.4", {"service_tier": "auto"}, "2.5", "15", OPENAI),
    ("openai", "gpt-6.1-sol", {"service_tier": "priority"}, "4", "20", OPENAI),
    ("openai", "gpt-6.1-sol", {"service_tier": "flex"}, "1", "5", OPENAI),
    ("openai", "gpt-6.1-sol", {"service_tier": "fast"}, "4", "20", OPENAI),
    ("openai", "gpt-4.1-mini", {"mode": "stream"}, "0.4", "1.6", OPENAI),
    ("anthropic", "claude-opus-4-6", {"service_tier": "batch"}, "2.5", "12.5", ANTHROPIC),
    ("anthropic", "claude-haiku-4-5", {"mode": "batch"}, "0.5", "2.5", ANTHROPIC),
    ("mistral", "mistral-small-2603", {"mode": "batch"}, "0.075", "0.3", "mistral.ai/pricing"),
]


@pytest.mark.parametrize(("provider", "model", "given", "price_in", "price_out", "source"), SERVED)
def test_service_tier(
    *, provider: str, model: str, given: dict[str, object], price_in: str, price_out: str, source: str
) -> None:
    """The tier that served the call decides the rate; batch may be called a tier or a mode."""
    lines = {"input_tokens": D(price_in) * 10_000 / M, "output_tokens": D(price_out) * 2_000 / M}
    usage = {"input_tokens": 10_000, "output_tokens": 2_000}
    check(Case(provider=provider, model=model, usage=usage, lines=lines, given=given, source=source))


def test_batch_keeps_the_cached_part() -> None:
    """A batch with cached input has a cached batch rate."""
    usage = {"input_tokens": 1_000, "cache_read_tokens": 800, "output_tokens": 10}
    lines = {
        "input_tokens": D("1.25") * 200 / M,
        "cache_read_tokens": D("0.13") * 800 / M,
        "output_tokens": D("7.5") * 10 / M,
    }
    case = Case(provider="openai", model="gpt-5.4", usage=usage, lines=lines, given={"mode": "batch"}, source=OPENAI)
    check(case)


def test_flex_has_a_cliff_of_its_own() -> None:
    """Service tier and context tier hold together."""
    usage = {"input_tokens": 272_001, "output_tokens": 10}
    lines = {"input_tokens": D("2.5") * 272_001 / M, "output_tokens": D("11.25") * 10 / M}
    given = {"service_tier": "flex"}
    check(Case(provider="openai", model="gpt-5.4", usage=usage, lines=lines, given=given, source=OPENAI))


@pytest.mark.parametrize("given", [{"service_tier": "scale"}, {"speed": "fast"}, {"mode": "batch"}])
def test_tier_without_a_price_is_an_estimate(given: dict[str, object]) -> None:
    """A tier nobody lists is priced as standard, says so, and is an estimate."""
    lines = {"input_tokens": D(75) * 100 / M}
    check(
        Case(
            provider="openai",
            model="gpt-4.5-preview",
            usage={"input_tokens": 100},
            lines=lines,
            given=given,
            status="estimated",
            issue="unmatched_",
            source=OPENAI,
        )
    )


# provider, model, instant, input, output, source: prices that changed, on either side of midnight UTC
DATES = [
    ("openai", "gpt-5.6-sol", "2026-08-20T23:59:59+00:00", "5", "30", OPENAI),
    ("openai", "gpt-5.6-sol", "2026-08-21T00:00:00+00:00", "4", "20", OPENAI),
    ("openai", "gpt-5.6-sol", "2026-08-21T01:59:59+02:00", "5", "30", OPENAI),
    ("openai", "gpt-5.6-sol", "2026-08-21T02:00:00+02:00", "4", "20", OPENAI),
    ("openai", "gpt-5.6-terra", "2026-07-29T12:00:00+00:00", "2.5", "15", OPENAI),
    ("openai", "gpt-5.6-terra", "2026-07-30T00:00:00+00:00", "2", "12", OPENAI),
    ("openai", "gpt-5.6-luna", "2026-07-29T12:00:00+00:00", "1", "6", OPENAI),
    ("openai", "gpt-5.6-luna", "2026-07-30T12:00:00+00:00", "0.2", "1.2", OPENAI),
    ("openai", "o3", "2025-06-09T12:00:00+00:00", "10", "40", OPENAI),
    ("openai", "o3", "2025-06-10T12:00:00+00:00", "2", "8", OPENAI),
    ("mistral", "mistral-large-latest", "2025-12-01T23:59:59+00:00", "2", "6", "mistral.ai/news"),
    ("mistral", "mistral-large-latest", "2025-12-02T00:00:00+00:00", "0.5", "1.5", "mistral.ai/news"),
]


@pytest.mark.parametrize(("provider", "model", "at", "price_in", "price_out", "source"), DATES)
def test_price_of_the_time(*, provider: str, model: str, at: str, price_in: str, price_out: str, source: str) -> None:
    """A call is priced by the price of its start, to the second, whatever its offset; aliases move on their day."""
    lines = {"input_tokens": D(price_in) * 1_000 / M, "output_tokens": D(price_out) * 1_000 / M}
    usage = {"input_tokens": 1_000, "output_tokens": 1_000}
    check(Case(provider=provider, model=model, usage=usage, lines=lines, at=at, source=source))


def test_premium_ended() -> None:
    """Claude Opus 4.6 lost its long-context premium on 2026-03-13."""
    for at, price in (("2026-03-12T23:00:00+00:00", "10"), ("2026-03-13T00:00:00+00:00", "5")):
        lines = {"input_tokens": D(price) * 300_000 / M}
        usage = {"input_tokens": 300_000}
        check(Case(provider="anthropic", model="claude-opus-4-6", usage=usage, lines=lines, at=at, source=ANTHROPIC))


# instant, is it peak: weekdays 01-04 and 06-10 UTC
HOURS = [
    ("2026-11-20T00:59:59+00:00", False),
    ("2026-11-20T01:00:00+00:00", True),
    ("2026-11-20T03:59:59+00:00", True),
    ("2026-11-20T04:00:00+00:00", False),
    ("2026-11-20T06:00:00+00:00", True),
    ("2026-11-20T09:59:59+00:00", True),
    ("2026-11-20T10:00:00+00:00", False),
    ("2026-11-21T02:00:00+00:00", False),  # Saturday
    ("2026-11-22T08:00:00+00:00", False),  # Sunday
    ("2026-11-23T08:00:00+00:00", True),  # Monday
    ("2026-09-09T02:00:00+00:00", None),  # before there were peak hours
]


@pytest.mark.parametrize(("at", "is_peak"), HOURS)
def test_peak_hours(at: str, is_peak: bool | None) -> None:
    """DeepSeek's peak hours hold on weekdays, from the day they came with the new price."""
    price_in, price_out = {True: ("0.3", "1.2"), False: ("0.15", "0.6"), None: ("0.22", "0.66")}[is_peak]
    lines = {"input_tokens": D(price_in) * 1_000 / M, "output_tokens": D(price_out) * 1_000 / M}
    usage = {"input_tokens": 1_000, "output_tokens": 1_000}
    source = "api-docs.deepseek.com pricing"
    check(Case(provider="deepseek", model="deepseek-v4-flash", usage=usage, lines=lines, at=at, source=source))


# model, search context, fee for 1,000 requests
FEES = [
    ("sonar", "low", "5"),
    ("sonar", "medium", "8"),
    ("sonar", "high", "12"),
    ("sonar", "", "5"),
    ("sonar-pro", "low", "6"),
    ("sonar-pro", "medium", "10"),
    ("sonar-pro", "high", "14"),
]


@pytest.mark.parametrize(("model", "size", "fee"), FEES)
def test_request_fee(model: str, size: str, fee: str) -> None:
    """Perplexity takes a fee for each request by its search context; a usage is one request."""
    price_in, price_out = {"sonar": ("1", "1"), "sonar-pro": ("3", "15")}[model]
    lines = {
        "input_tokens": D(price_in) * 100 / M,
        "output_tokens": D(price_out) * 100 / M,
        "requests": D(fee) * 1 / 1_000,
    }
    usage = {"input_tokens": 100, "output_tokens": 100}
    given = {"search_context": size}
    source = "docs.perplexity.ai pricing"
    check(Case(provider="perplexity", model=model, usage=usage, lines=lines, given=given, source=source))


# provider as said, model as said, input, output, source
NAMES = [
    ("OpenAI", "gpt-4o-mini-2024-07-18", "0.15", "0.6", OPENAI),
    ("openai", "openai/gpt-4o-mini", "0.15", "0.6", OPENAI),
    ("openai", "GPT-4o-Mini", "0.15", "0.6", OPENAI),
    ("openai", "gpt-5.2-20251211", "1.75", "14", OPENAI),
    ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc123", "0.3", "1.2", OPENAI),
    ("openai", "ft:gpt-4o-2024-08-06:acme::abc123", "3.75", "15", OPENAI),
    ("openai", "ft:gpt-4.1-2025-04-14:acme::abc123", "3", "12", OPENAI),
    ("openai", "ft:gpt-4.1-nano-2025-04-14:acme::x", "0.2", "0.8", OPENAI),
    ("openai", "ft:gpt-3.5-turbo-0125:acme::x", "3", "6", OPENAI),
    ("azure.ai.openai", "gpt-4o-mini-2024-07-18", "0.15", "0.6", OPENAI),
    ("azure", "gpt-35-turbo", "0.5", "1.5", OPENAI),
    ("azure", "o3-mini", "1.1", "4.4", "azure.microsoft.com openai pricing"),
    ("gcp.vertex_ai", "gemini-2.5-flash", "0.3", "2.5", GOOGLE),
    ("gcp.gemini", "models/gemini-2.5-flash", "0.3", "2.5", GOOGLE),
    ("google", "publishers/google/models/gemini-2.5-flash", "0.3", "2.5", GOOGLE),
    ("vertex_ai", "claude-opus-4@20250514", "15", "75", "cloud.google.com vertex-ai pricing"),
    ("x_ai", "grok-3", "3", "15", "docs.x.ai/docs/models"),
    ("xai", "grok-3-latest", "3", "15", "docs.x.ai/docs/models"),
    ("mistral_ai", "mistral-small-2506", "0.1", "0.3", "mistral.ai/pricing"),
    ("AnthropicLLMService", "claude-haiku-4-5-20251001", "1", "5", ANTHROPIC),
    ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3", "16.5", BEDROCK),
    ("aws.bedrock", "eu.anthropic.claude-haiku-4-5-20251001-v1:0", "1.1", "5.5", BEDROCK),
    ("aws", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "3", "15", BEDROCK),
    ("bedrock", "us.amazon.nova-pro-v1:0", "0.8", "3.2", BEDROCK),
    (
        "aws",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "3.3",
        "16.5",
        BEDROCK,
    ),
    ("cerebras", "cerebras/llama3.1-8b", "0.1", "0.1", "cerebras.ai/pricing"),
    ("cerebras", "llama-3.1-8b", "0.1", "0.1", "cerebras.ai/pricing"),
    ("openrouter", "openai/gpt-4o-mini", "0.15", "0.6", "openrouter.ai/models"),
    ("", "groq/llama-3.1-8b-instant", "0.05", "0.08", "groq.com/pricing"),
]


@pytest.mark.parametrize(("provider", "model", "price_in", "price_out", "source"), NAMES)
def test_names(provider: str, model: str, price_in: str, price_out: str, source: str) -> None:
    """However provider and model are spelt, the price is that of the model that was meant."""
    lines = {"input_tokens": D(price_in) * 1_000 / M, "output_tokens": D(price_out) * 1_000 / M}
    usage = {"input_tokens": 1_000, "output_tokens": 1_000}
    check(Case(provider=provider, model=model, usage=usage, lines=lines, source=source))


UNKNOWN = [
    ("openai", "my-gpt-4o-clone", "unknown_model"),
    ("openai", "gpt-4o-2024-13-45", "unknown_model: gpt-4o-2024-13-45 at openai; nearest name: gpt-4o"),
    ("openai", "gpt-4o-2031-01-01", "unknown_model"),
    ("openai", "gpt-4", ""),
    ("openai", "gpt-44", "unknown_model"),
    ("anthropic", "claude-foo-9", "unknown_model"),
    ("anthropic", "claude-sonnet-4-55", "unknown_model"),
    ("anthropic", "claude-sonnet-4-5-20991231", "unknown_model"),
    ("anthropic", "gpt-4o", "unknown_model"),
    ("groq", "llama-3.3-70b", "unknown_model"),
    ("cerebras", "llama-3.3-70b-versatile", "unknown_model"),
    ("opnai", "gpt-4o", "unknown_provider: opnai; nearest name: openai"),
    ("", "gpt-4o", "unknown_provider"),
    ("openai", "", "unknown_model: (none)"),
]


@pytest.mark.parametrize(("provider", "model", "issue"), UNKNOWN)
def test_unknown_names_are_unpriced(provider: str, model: str, issue: str) -> None:
    """A name that is only like a known one has no price; the provider is a hard filter."""
    if not issue:
        lines = {"input_tokens": D(30) * 10 / M}
        check(Case(provider=provider, model=model, usage={"input_tokens": 10}, lines=lines, source=OPENAI))
        return
    case = Case(
        provider=provider,
        model=model,
        usage={"input_tokens": 10},
        lines={},
        status="unpriced",
        issue=issue,
        source="-",
    )
    check(case)


HOSTS = [
    ("openai", "llama-3.3-70b-versatile", "https://api.groq.com/openai/v1", "0.59"),
    ("openai", "llama3.1-8b", "https://api.cerebras.ai/v1", "0.1"),
    ("openai", "deepseek-v3.2-exp", "api.deepseek.com", "0.27"),
    ("openai", "grok-3", "https://api.x.ai/v1", "3"),
    ("anthropic", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock-runtime.us-east-1.amazonaws.com", "3.3"),
    ("openai", "gpt-4o-mini", "http://localhost:8080/v1", "0.15"),
    ("openai", "gpt-4o-mini", "https://acme.openai.azure.com", "0.15"),
    ("openai", "gemini-2.5-flash", "https://generativelanguage.googleapis.com/v1beta/openai/", "0.3"),
]


@pytest.mark.parametrize(("provider", "model", "base_url", "price"), HOSTS)
def test_the_host_says_who_bills(provider: str, model: str, base_url: str, price: str) -> None:
    """An OpenAI SDK pointed elsewhere is billed elsewhere."""
    lines = {"input_tokens": D(price) * 1_000 / M}
    usage = {"input_tokens": 1_000}
    given = {"base_url": base_url}
    check(Case(provider=provider, model=model, usage=usage, lines=lines, given=given, source="vendor", at=NOON))
