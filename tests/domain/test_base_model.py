"""Which names of models mean one model, so that two tellings of a call are found to be one."""

import pytest

from cost_exporter.domain.settling.base_model import are_one_model, base_model


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("", ""),
        ("gpt-4o", "gpt-4o"),
        ("openai/gpt-4o-2024-08-06", "gpt-4o"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("anthropic.claude-3-haiku-20240307-v1:0:200k", "claude-3-haiku"),
        ("arn:aws:bedrock:us-east-1:1234:inference-profile/us.anthropic.claude-opus-5", "claude-opus-5"),
        ("arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0", "nova-pro-v1"),
        ("nova-pro-v1:0", "nova-pro-v1"),
        ("amazon.titan-embed-text-v1", "titan-embed-text-v1"),
        ("amazon.titan-embed-text-v2:0", "titan-embed-text-v2"),
        ("openai.gpt-oss-120b-1:0", "gpt-oss-120b-1"),
        ("gpt-4.1-mini", "gpt-4.1-mini"),
        ("llama3.1:8b", "llama3.1:8b"),
        ("deepseek-v3", "deepseek-v3"),
        ("claude-v2:1", "claude-v2"),
        ("ft:gpt-4o-mini-2024-07-18:org::12345678", "ft:gpt-4o-mini-2024-07-18:org::12345678"),
        ("mistral.gguf", "mistral.gguf"),
    ],
)
def test_a_model_is_known_without_who_offers_it_and_which_edition_it_is(model: str, base: str) -> None:
    """Prefixes of vendor, gateway and region, a date and Bedrock's numbering say nothing of which model it is."""
    assert base_model(model) == base


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("aws", "us.anthropic.claude-opus-5"), ("aws", "claude-opus-5"), True),
        (("aws", "us.anthropic.claude-opus-5"), ("", "claude-opus-5"), True),
        (("", "claude-opus-5"), ("aws", "us.anthropic.claude-opus-5"), True),
        (("openai", "gpt-4o"), ("azure", ""), True),
        (("openai", ""), ("azure", "gpt-4o"), True),
        (("aws", "us.anthropic.claude-opus-5"), ("anthropic", "claude-opus-5"), False),
        (("anthropic", "claude-opus-5"), ("aws", "anthropic.claude-opus-5"), False),
        (("aws", "claude-opus-5"), ("anthropic", "claude-opus-5"), True),
        (("openai", "gpt-4o"), ("azure", "gpt-4o-2024-08-06"), True),
        (("aws", "claude-opus-5"), ("aws", "claude-opus-4-6"), False),
    ],
)
def test_a_model_asked_for_at_bedrock_is_not_one_asked_for_at_its_vendor(
    one: tuple[str, str], other: tuple[str, str], expected: bool
) -> None:
    """One prompt sent to Bedrock and to Anthropic at once is two calls; only Bedrock's own spelling tells it."""
    assert are_one_model(*one, *other) is expected
