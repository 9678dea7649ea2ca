"""Tokens: plain rates of many models, caches, audio and image parts, reasoning. Rates are per million tokens."""

from decimal import Decimal as D

import pytest

from tests.prices.cases import ANTHROPIC, BEDROCK, GOOGLE, OPENAI, Case, M, check

# provider, model, input, output, source
PLAIN = [
    ("openai", "gpt-4o", "2.5", "10", OPENAI),
    ("openai", "gpt-4o-2024-05-13", "5", "15", OPENAI),
    ("openai", "gpt-4o-mini", "0.15", "0.6", OPENAI),
    ("openai", "gpt-4.1", "2", "8", OPENAI),
    ("openai", "gpt-4.1-mini", "0.4", "1.6", OPENAI),
    ("openai", "gpt-4.1-nano", "0.1", "0.4", OPENAI),
    ("openai", "gpt-5", "1.25", "10", OPENAI),
    ("openai", "gpt-5-mini", "0.25", "2", OPENAI),
    ("openai", "gpt-5-nano", "0.05", "0.4", OPENAI),
    ("openai", "gpt-5.1", "1.25", "10", OPENAI),
    ("openai", "gpt-5.2", "1.75", "14", OPENAI),
    ("openai", "gpt-6.1-sol", "2", "10", OPENAI),
    ("openai", "o1", "15", "60", OPENAI),
    ("openai", "o3-mini", "1.1", "4.4", OPENAI),
    ("openai", "o4-mini", "1.1", "4.4", OPENAI),
    ("openai", "gpt-3.5-turbo", "0.5", "1.5", OPENAI),
    ("openai", "gpt-4", "30", "60", OPENAI),
    ("openai", "gpt-4-turbo", "10", "30", OPENAI),
    ("anthropic", "claude-3-haiku-20240307", "0.25", "1.25", ANTHROPIC),
    ("anthropic", "claude-3-5-haiku-latest", "0.8", "4", ANTHROPIC),
    ("anthropic", "claude-haiku-4-5", "1", "5", ANTHROPIC),
    ("anthropic", "claude-sonnet-4-5", "3", "15", ANTHROPIC),
    ("anthropic", "claude-opus-4-1", "15", "75", ANTHROPIC),
    ("anthropic", "claude-opus-4-5", "5", "25", ANTHROPIC),
    ("anthropic", "claude-opus-5", "5", "25", ANTHROPIC),
    ("google", "gemini-2.5-flash", "0.3", "2.5", GOOGLE),
    ("google", "gemini-2.5-flash-lite", "0.1", "0.4", GOOGLE),
    ("google", "gemini-2.5-pro", "1.25", "10", GOOGLE),
    ("google", "gemini-2.0-flash", "0.1", "0.4", GOOGLE),
    ("aws", "amazon.nova-lite-v1:0", "0.06", "0.24", BEDROCK),
    ("aws", "amazon.nova-micro-v1:0", "0.035", "0.14", BEDROCK),
    ("aws", "meta.llama3-3-70b-instruct-v1:0", "0.72", "0.72", BEDROCK),
    ("groq", "llama-3.3-70b-versatile", "0.59", "0.79", "groq.com/pricing"),
    ("groq", "llama-3.1-8b-instant", "0.05", "0.08", "groq.com/pricing"),
    ("cerebras", "llama3.1-8b", "0.1", "0.1", "cerebras.ai/pricing"),
    ("cerebras", "llama-3.3-70b", "0.85", "1.2", "cerebras.ai/pricing"),
    ("cerebras", "zai-glm-4.7", "2.25", "2.75", "cerebras.ai/pricing"),
    ("mistral", "mistral-large-2512", "0.5", "1.5", "mistral.ai/pricing"),
    ("mistral", "mistral-small-2603", "0.15", "0.6", "mistral.ai/pricing"),
    ("x-ai", "grok-3-mini", "0.3", "0.5", "docs.x.ai/docs/models"),
    ("x-ai", "grok-4", "3", "15", "docs.x.ai/docs/models"),
    ("cohere", "command-r7b", "0.0375", "0.15", "cohere.com/pricing"),
    ("cohere", "command-a", "2.5", "10", "cohere.com/pricing"),
    ("perplexity", "sonar-pro-search", "3", "15", "docs.perplexity.ai pricing"),
    ("deepseek", "deepseek-v3.2-exp", "0.27", "0.41", "api-docs.deepseek.com pricing"),
    ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "0.88", "0.88", "together.ai/pricing"),
]


@pytest.mark.parametrize(("provider", "model", "price_in", "price_out", "source"), PLAIN)
def test_plain_tokens(provider: str, model: str, price_in: str, price_out: str, source: str) -> None:
    """Input and output are billed at the published rate, each on its own line."""
    lines = {"input_tokens": D(price_in) * 1_234 / M, "output_tokens": D(price_out) * 567 / M}
    usage = {"input_tokens": 1_234, "output_tokens": 567}
    check(Case(provider=provider, model=model, usage=usage, lines=lines, source=source))


# provider, model, input, output, cache read, source: 1,000 in of which 900 cached
CACHED = [
    ("openai", "gpt-4o", "2.5", "10", "1.25", OPENAI),
    ("openai", "gpt-4o-mini", "0.15", "0.6", "0.075", OPENAI),
    ("openai", "gpt-4.1", "2", "8", "0.5", OPENAI),
    ("openai", "gpt-5", "1.25", "10", "0.125", OPENAI),
    ("openai", "o3", "2", "8", "0.5", OPENAI),
    ("anthropic", "claude-haiku-4-5", "1", "5", "0.1", ANTHROPIC),
    ("anthropic", "claude-sonnet-4-5", "3", "15", "0.3", ANTHROPIC),
    ("google", "gemini-2.5-flash", "0.3", "2.5", "0.03", GOOGLE),
    ("google", "gemini-2.5-pro", "1.25", "10", "0.125", GOOGLE),
    ("x-ai", "grok-3", "3", "15", "0.75", "docs.x.ai/docs/models"),
    ("groq", "openai/gpt-oss-120b", "0.15", "0.6", "0.075", "groq.com/pricing"),
    ("deepseek", "deepseek-v4-flash", "0.15", "0.6", "0.003", "api-docs.deepseek.com pricing"),
]


@pytest.mark.parametrize(("provider", "model", "price_in", "price_out", "cached", "source"), CACHED)
def test_cached_input(*, provider: str, model: str, price_in: str, price_out: str, cached: str, source: str) -> None:
    """Cached tokens are part of the input: billed once, at their own rate."""
    lines = {
        "input_tokens": D(price_in) * (1_000 - 900) / M,
        "cache_read_tokens": D(cached) * 900 / M,
        "output_tokens": D(price_out) * 10 / M,
    }
    usage = {"input_tokens": 1_000, "cache_read_tokens": 900, "output_tokens": 10}
    check(Case(provider=provider, model=model, usage=usage, lines=lines, source=source))


# model, input, cache read, 5 minutes, 1 hour
WRITES = [
    ("claude-3-5-haiku-20241022", "0.8", "0.08", "1", "1.6"),
    ("claude-haiku-4-5-20251001", "1", "0.1", "1.25", "2"),
    ("claude-sonnet-4-5-20250929", "3", "0.3", "3.75", "6"),
    ("claude-opus-4-5", "5", "0.5", "6.25", "10"),
    ("claude-opus-4-1-20250805", "15", "1.5", "18.75", "30"),
    ("claude-opus-5", "5", "0.5", "6.25", "10"),
]


@pytest.mark.parametrize(("model", "price_in", "cached", "five", "hour"), WRITES)
def test_cache_writes(model: str, price_in: str, cached: str, five: str, hour: str) -> None:
    """Writes for five minutes and for an hour have rates of their own, and come out of the input."""
    usage = {
        "input_tokens": 10_000,
        "cache_read_tokens": 4_000,
        "cache_write_tokens": 5_000,
        "cache_write_5m_tokens": 3_000,
        "cache_write_1h_tokens": 2_000,
    }
    lines = {
        "input_tokens": D(price_in) * (10_000 - 4_000 - 5_000) / M,
        "cache_read_tokens": D(cached) * 4_000 / M,
        "cache_write_5m_tokens": D(five) * 3_000 / M,
        "cache_write_1h_tokens": D(hour) * 2_000 / M,
    }
    check(Case(provider="anthropic", model=model, usage=usage, lines=lines, source=ANTHROPIC))


@pytest.mark.parametrize(("model", "price_in", "cached", "five", "hour"), WRITES)
def test_cache_write_of_unknown_length(model: str, price_in: str, cached: str, five: str, hour: str) -> None:
    """Where nothing says how long, a cache write lasts five minutes: Anthropic's default."""
    usage = {"input_tokens": 1_000, "cache_write_tokens": 600}
    lines = {"input_tokens": D(price_in) * 400 / M, "cache_write_tokens": D(five) * 600 / M}
    check(Case(provider="anthropic", model=model, usage=usage, lines=lines, source=ANTHROPIC))


# provider, model, text in, audio in, text out, audio out
AUDIO = [
    ("openai", "gpt-realtime", "4", "32", "16", "64"),
    ("openai", "gpt-realtime-2", "4", "32", "24", "64"),
    ("openai", "gpt-realtime-mini", "0.6", "10", "2.4", "20"),
    ("openai", "gpt-4o-mini-realtime-preview", "0.6", "10", "2.4", "20"),
    ("openai", "gpt-audio", "2.5", "32", "10", "64"),
    ("openai", "gpt-audio-mini", "0.6", "10", "2.4", "20"),
    ("openai", "gpt-4o-audio-preview-2024-12-17", "2.5", "40", "10", "80"),
    ("openai", "gpt-4o-mini-audio-preview", "0.15", "10", "0.6", "20"),
    ("google", "gemini-live-2.5-flash", "0.5", "3", "2", "12"),
    ("aws", "amazon.nova-sonic-v1:0", "0.06", "3.4", "0.24", "13.6"),
]


@pytest.mark.parametrize(("provider", "model", "text_in", "audio_in", "text_out", "audio_out"), AUDIO)
def test_audio_tokens(*, provider: str, model: str, text_in: str, audio_in: str, text_out: str, audio_out: str) -> None:
    """Audio tokens are parts of input and output, at audio rates."""
    usage = {"input_tokens": 800, "input_audio_tokens": 700, "output_tokens": 400, "output_audio_tokens": 300}
    lines = {
        "input_tokens": D(text_in) * 100 / M,
        "input_audio_tokens": D(audio_in) * 700 / M,
        "output_tokens": D(text_out) * 100 / M,
        "output_audio_tokens": D(audio_out) * 300 / M,
    }
    check(Case(provider=provider, model=model, usage=usage, lines=lines, source="vendor's pricing page"))


CASES = [
    Case(  # cached audio is cached and audio: out of both, billed once
        provider="openai",
        model="gpt-realtime",
        usage={
            "input_tokens": 1_000,
            "cache_read_tokens": 600,
            "input_audio_tokens": 500,
            "cache_audio_read_tokens": 400,
        },
        lines={
            "input_tokens": D(4) * (1_000 - 200 - 100 - 400) / M,
            "cache_read_tokens": D("0.4") * (600 - 400) / M,
            "input_audio_tokens": D(32) * (500 - 400) / M,
            "cache_audio_read_tokens": D("0.4") * 400 / M,
        },
        source=OPENAI,
    ),
    Case(
        provider="google",
        model="gemini-2.5-flash",
        usage={"input_tokens": 500, "input_audio_tokens": 300, "input_image_tokens": 100, "output_tokens": 10},
        lines={
            "input_tokens": D("0.3") * 100 / M,
            "input_audio_tokens": D(1) * 300 / M,
            "input_image_tokens": D("0.3") * 100 / M,  # "text / image / video" have one price
            "output_tokens": D("2.5") * 10 / M,
        },
        source=GOOGLE,
    ),
    Case(
        provider="openai",
        model="gpt-image-1",
        usage={"input_tokens": 60, "input_image_tokens": 50, "output_tokens": 4_000},
        lines={
            "input_tokens": D(5) * 10 / M,
            "input_image_tokens": D(10) * 50 / M,
            "output_tokens": D(40) * 4_000 / M,
        },
        source=OPENAI,
    ),
    Case(
        provider="google",
        model="gemini-2.5-flash-image",
        usage={"input_tokens": 20, "output_tokens": 1_300, "output_image_tokens": 1_290},
        lines={
            "input_tokens": D("0.3") * 20 / M,
            "output_tokens": D("2.5") * 10 / M,
            "output_image_tokens": D(30) * 1_290 / M,
        },
        source=GOOGLE,
    ),
    Case(  # reasoning is part of the output and has no rate of its own
        provider="openai",
        model="o3-mini",
        usage={"input_tokens": 100, "output_tokens": 900, "reasoning_tokens": 800},
        lines={"input_tokens": D("1.1") * 100 / M, "output_tokens": D("4.4") * 900 / M},
        source=OPENAI,
    ),
    Case(  # here it has: it comes out of the output
        provider="perplexity",
        model="sonar-deep-research",
        usage={"input_tokens": 100, "output_tokens": 900, "reasoning_tokens": 800, "web_searches": 30},
        lines={
            "input_tokens": D(2) * 100 / M,
            "output_tokens": D(8) * (900 - 800) / M,
            "reasoning_tokens": D(3) * 800 / M,
            "web_searches": D(5) * 30 / 1_000,
        },
        source="docs.perplexity.ai pricing",
    ),
    Case(
        provider="anthropic",
        model="claude-sonnet-4-5",
        usage={"input_tokens": 100, "output_tokens": 100, "web_searches": 3},
        lines={
            "input_tokens": D(3) * 100 / M,
            "output_tokens": D(15) * 100 / M,
            "web_searches": D(10) * 3 / 1_000,
        },
        source=ANTHROPIC,
    ),
    Case(  # audio sent to a model without an audio rate: known part only
        provider="openai",
        model="gpt-4o",
        usage={"input_tokens": 100, "input_audio_tokens": 40, "output_tokens": 10},
        lines={"input_tokens": D("2.5") * 60 / M, "input_audio_tokens": None, "output_tokens": D(10) * 10 / M},
        status="partial",
        source=OPENAI,
        issue="no_price: input_audio_tokens",
    ),
    Case(  # an hour's cache write without an hour's rate
        provider="aws",
        model="us.anthropic.claude-sonnet-4-20250514-v1:0",
        usage={"input_tokens": 100, "cache_write_1h_tokens": 40},
        lines={"input_tokens": D(3) * 60 / M, "cache_write_1h_tokens": None},
        status="partial",
        source=BEDROCK,
    ),
    Case(
        provider="openai",
        model="gpt-4o",
        usage={"input_tokens": 0, "output_tokens": 0},
        lines={"input_tokens": D(0), "output_tokens": D(0)},
        source=OPENAI,
    ),
    Case(
        provider="openai",
        model="omni-moderation-latest",
        usage={"input_tokens": 5_000},
        lines={"input_tokens": D(0)},  # free, by an explicit row
        source=OPENAI,
    ),
    Case(  # 37.5 nano-dollars a token: exact to the last digit
        provider="cohere",
        model="command-r7b-12-2024",
        usage={"input_tokens": 1},
        lines={"input_tokens": D("0.0000000375")},
        source="cohere.com/pricing",
    ),
    Case(
        provider="openai",
        model="gpt-5-nano",
        usage={"input_tokens": 10**12},
        lines={"input_tokens": D(50_000)},  # 1e12 x 0.05 / 1e6
        source=OPENAI,
    ),
    Case(
        provider="openai",
        model="gpt-5-nano",
        usage={"input_tokens": 10**12 + 1},
        lines={},
        status="invalid",
        source="-",
    ),
    Case(provider="openai", model="gpt-4o", usage={"input_tokens": -1}, lines={}, status="invalid", source="-"),
    Case(provider="openai", model="gpt-4o", usage={"input_tokens": D("1.5")}, lines={}, status="invalid", source="-"),
    Case(
        provider="openai",
        model="gpt-4o",
        usage={"input_tokens": 10, "cache_read_tokens": 900},
        lines={},
        status="invalid",
        source="-",
    ),
    Case(provider="openai", model="gpt-4o", usage={}, lines={}, status="no_usage", source="-"),
    Case(provider="openai", model="gpt-4o", usage={"requests": 1}, lines={}, status="no_usage", source="-"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    """The arithmetic in the table is what the book answers."""
    check(case)


EMBEDDINGS = [
    ("openai", "text-embedding-3-small", "0.02"),
    ("openai", "text-embedding-3-large", "0.13"),
    ("openai", "text-embedding-ada-002", "0.1"),
    ("cohere", "embed-v4.0", "0.12"),
    ("cohere", "embed-english-v3.0", "0.1"),
    ("voyageai", "voyage-3.5", "0.06"),
    ("voyageai", "voyage-multimodal-3", "0.12"),
    ("voyageai", "rerank-2.5-lite", "0.02"),
    ("google", "gemini-embedding-001", "0.15"),
    ("aws", "amazon.titan-embed-text-v2:0", "0.02"),
    ("aws", "cohere.embed-english-v3", "0.1"),
    ("mistral", "codestral-embed", "0.15"),
    ("azure", "text-embedding-3-large", "0.13"),
]


@pytest.mark.parametrize(("provider", "model", "price"), EMBEDDINGS)
def test_embeddings(provider: str, model: str, price: str) -> None:
    """Embeddings are billed by input tokens; an output of 0 needs no rate."""
    usage = {"input_tokens": 1_000_003, "output_tokens": 0}
    source = "vendor's pricing page"
    lines = {"input_tokens": D(price) * 1_000_003 / M}
    check(Case(provider=provider, model=model, usage=usage, lines=lines, source=source))
