"""Who makes a model, by its name: for emitters that never say who was asked (Langfuse, Strands).

A guess, and its record says so. Only names that no other maker gives: what many hosts serve (Llama, Mistral's open
models) has no maker here and stays without a provider, which leaves it unpriced.
"""

import re
from typing import Final

from cost_exporter.read.fields.reading import Reading

__all__ = ["guess_provider"]

_MAKERS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    # `us.anthropic.claude-sonnet-4-5-20250929-v1:0`: only Bedrock writes a vendor, a dot and a version so.
    (
        re.compile(r"(?:[a-z]{2,6}\.)?(?:ai21|amazon|anthropic|cohere|deepseek|meta|mistral|openai|qwen)\.[a-z].*"),
        "aws",
    ),
    (re.compile(r"(?:gpt-(?!oss)|chatgpt-|text-embedding-|o\d-).+|o\d"), "openai"),
    (re.compile(r"claude-.+"), "anthropic"),
    (re.compile(r"gemini-.+"), "google"),
)


def guess_provider(reading: Reading) -> None:
    """Let the model tell who was asked, where nothing else does."""
    if reading.provider:
        return
    model = reading.response_model or reading.request_model
    reading.provider = next((maker for names, maker in _MAKERS if names.fullmatch(model)), "")
    if reading.provider:
        reading.issues.append("assumed_provider")
