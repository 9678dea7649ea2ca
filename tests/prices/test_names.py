"""Which price a name leads to where names are treacherous: routes, profiles, variants, free requests, old dates."""

from decimal import Decimal as D

import pytest

from cost_exporter.domain import Quote, UsageRecord
from tests.prices.cases import NOON, shipped_book, unix_ns

MILLIONS = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}


def quoted(provider: str, model: str, *, at: str = NOON, request_model: str = "", **quantities: int) -> Quote:
    usage = UsageRecord(
        provider=provider,
        model=model,
        request_model=request_model,
        quantities=quantities or MILLIONS,
        at_unix_ns=unix_ns(at),
    )
    return shipped_book().price(usage)


@pytest.mark.parametrize(
    ("model", "at", "amount"),
    [
        ("deepseek-chat", "2025-09-05T15:59:59+00:00", "1.37"),  # 0.27 + 1.10, by day
        ("deepseek-chat", "2025-09-05T16:00:00+00:00", "2.24"),  # 0.56 + 1.68
        ("deepseek-chat", "2025-09-15T20:00:00+00:00", "2.24"),  # at night too
        ("deepseek-reasoner", "2025-09-15T20:00:00+00:00", "2.24"),
        ("deepseek-chat", "2025-09-29T00:00:00+00:00", "0.7"),  # 0.28 + 0.42
        ("deepseek-reasoner", "2026-03-01T12:00:00+00:00", "0.7"),
    ],
)
def test_deepseek_history(model: str, at: str, amount: str) -> None:
    """One price for both models since 2025-09-05 16:00 UTC, and no discount at night."""
    quote = quoted("deepseek", model, at=at)
    assert (quote.status, quote.amount_usd) == ("priced", D(amount))


@pytest.mark.parametrize(("at", "amount"), [("2026-03-01T12:00:00+00:00", "2.4"), ("2026-05-01T12:00:00+00:00", "9")])
def test_mistral_medium_3_is_not_3_5_before_there_was_one(at: str, amount: str) -> None:
    """Medium 3.5 is of 2026-04-28."""
    quote = quoted("mistral", "mistral-medium-3", at=at)
    assert (quote.status, quote.amount_usd) == ("priced", D(amount))


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("deepseek", "deepseek-r1-distill-llama-70b"),
        ("google", "gemini-3.8-flash-cyber"),
        ("google", "vertex_ai/gemini-3.8-flash-cyber"),
        ("aws", "us.anthropic.claude-sonnet-4-5-cyber-v1:0"),
        ("anthropic", "claude-sonnet-4-5-mini"),
        ("mistral", "mixtral-8x7b-distill"),
    ],
)
def test_a_variant_is_not_priced_by_what_its_name_begins_with(provider: str, model: str) -> None:
    """Another model, another price: what is not listed is unpriced."""
    assert quoted(provider, model).status == "unpriced"


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-5.6-cyber"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme-pro::mini1"),
        ("aws", "us.amazon.nova-lite-v1:0"),
        ("google", "gemini-2.5-flash-lite-preview-06-17"),
        ("anthropic", "claude-sonnet-4-5-20250929"),
    ],
)
def test_a_variant_that_is_listed_is_priced(provider: str, model: str) -> None:
    """The rule above does not take listed names for variants of others."""
    assert quoted(provider, model).status == "priced"


@pytest.mark.parametrize(
    ("model", "status", "amount"),
    [
        ("eu.amazon.nova-lite-v1:0", "priced", "0.39"),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.amazon.nova-lite-v1:0", "priced", "0.39"),
        ("apac.amazon.nova-pro-v1:0", "priced", "4.2"),
        ("us-gov.openai.gpt-oss-120b-1:0", "priced", "0.9"),
        ("us.amazon.nova-lite-v1:0", "priced", "0.3"),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "priced", "19.8"),
        ("ca.amazon.nova-lite-v1:0", "estimated", "0.3"),
        ("eu.qwen.qwen3-32b-v1:0", "estimated", "0.75"),
    ],
)
def test_bedrock_profiles(model: str, status: str, amount: str) -> None:
    """A region has a price of its own; one that is not known is an estimate by the price at home."""
    quote = quoted("aws", model)
    assert (quote.status, quote.amount_usd) == (status, D(amount))
    assert any(issue.startswith("region: ") for issue in quote.issues) == (status == "estimated")


@pytest.mark.parametrize(
    ("model", "status"),
    [
        ("openai/gpt-5-mini", "priced"),
        ("openai/gpt-5-mini:nitro", "estimated"),
        ("openai/gpt-5-mini:floor", "estimated"),
        ("openai/gpt-5-mini:online", "partial"),
        ("openai/gpt-5-mini:exacto", "estimated"),
        ("openai/gpt-5-mini:unheard-of", "unpriced"),
        ("no/such-model:nitro", "unpriced"),
    ],
)
def test_openrouter_suffixes(model: str, status: str) -> None:
    """A route leaves the model as it is: its price is the best estimate, and the suffix is named."""
    quote = quoted("openrouter", model)
    assert quote.status == status
    assert any(issue.startswith("route: ") for issue in quote.issues) == (status in {"estimated", "partial"})


@pytest.mark.parametrize(
    ("model", "request_model", "searches", "status"),
    [
        ("openai/gpt-5-mini", "openai/gpt-5-mini:online", {}, "partial"),
        ("", "openai/gpt-5-mini:Online", {}, "partial"),
        ("openai/gpt-5-mini", "openai/gpt-5-mini:online", {"web_searches": 2}, "partial"),
        ("openai/gpt-5-mini", "openai/gpt-5-mini:nitro", {}, "priced"),
        ("openai/gpt-5-mini", "", {}, "priced"),
    ],
)
def test_searches_that_openrouter_adds_are_never_left_out(
    model: str, request_model: str, searches: dict[str, int], status: str
) -> None:
    """Whoever states the suffix; searches that are counted have a line of their own, priced or not."""
    quote = quoted("openrouter", model, request_model=request_model, **{**MILLIONS, **searches})
    assert quote.status == status
    assert any(issue.startswith("not_stated: web_searches") for issue in quote.issues) == (
        status == "partial" and not searches
    )


@pytest.mark.parametrize(
    ("model", "request_model", "status"),
    [
        ("deepseek/deepseek-r1:free", "", "priced"),
        ("", "deepseek/deepseek-r1:free", "priced"),
        ("deepseek/deepseek-r1:free", "deepseek/deepseek-r1", "priced"),
        ("some/other-model", "deepseek/deepseek-r1:free", "unpriced"),
        ("some/other-model", "deepseek/deepseek-r1:FREE", "unpriced"),
    ],
)
def test_a_free_request_that_another_model_answered_is_not_free(model: str, request_model: str, status: str) -> None:
    """Free is what a model is, not what was asked for."""
    quote = quoted("openrouter", model, request_model=request_model)
    assert (quote.status, quote.amount_usd) == (status, D(0) if status == "priced" else None)


@pytest.mark.parametrize("provider", ["aws.polly", "Amazon Polly", "aws"])
def test_polly_and_transcribe_by_their_own_names(provider: str) -> None:
    """They are Amazon's, whatever they are called."""
    assert quoted(provider, "neural", characters=1_000_000).amount_usd == D(16)
    assert quoted("aws.transcribe", "standard", audio_seconds=60).amount_usd == D("0.01")
    assert quoted("aws.polly", "standard", characters=1_000_000).amount_usd == D(4)


def test_image_tokens_of_image_models() -> None:
    """What gpt-image models put out are image tokens, at the price of their output."""
    quote = quoted("openai", "gpt-image-1", input_tokens=1_000, output_tokens=1_000, output_image_tokens=1_000)
    assert (quote.status, quote.amount_usd) == ("priced", D(1_000 * 5 + 1_000 * 40) / 1_000_000)


def test_storage_that_is_read_at_once_is_billed_beside_the_input() -> None:
    """As OpenRouter billed it for Gemini: 7 fresh, 2,161 read, 2,161 stored, 100 written."""
    counts = {"input_tokens": 2_168, "cache_read_tokens": 2_161, "cache_write_tokens": 2_161, "output_tokens": 100}
    quote = quoted("openrouter", "google/gemini-2.5-flash", **counts)
    assert quote.status == "estimated"
    assert quote.amount_usd is not None
    assert abs(quote.amount_usd - D("0.0004970133")) < D("1e-10")


@pytest.mark.parametrize(
    ("provider", "model", "used", "amount"),
    [
        ("openai", "dall-e-3", {"images": 2}, "0.08"),
        ("google", "imagen-4.0-generate-001", {"images": 1}, "0.04"),
        ("openai", "sora-2", {"video_seconds": 8}, "0.8"),
        ("azure", "sora-2-pro", {"video_seconds": 4}, "1.2"),
        ("google", "veo-3.1-fast-generate-preview", {"video_seconds": 8}, "0.8"),
    ],
)
def test_images_and_video(provider: str, model: str, used: dict[str, int], amount: str) -> None:
    """Images have a price by the piece, video by the second; the size is an assumption."""
    quote = quoted(provider, model, **used)
    assert (quote.status, quote.amount_usd) == ("priced", D(amount))
