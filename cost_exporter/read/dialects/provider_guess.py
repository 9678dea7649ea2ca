"""Guess the provider from the model name, for emitters that never report it (Langfuse, Strands).

The record has the issue `assumed_provider`. Only names that a single vendor uses are guessed: models that many hosts
serve (Llama, Mistral's open models) stay without a provider and so unpriced.
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
    """Set the provider from the model name, if the span does not report it."""
    if reading.provider:
        return
    model = reading.response_model or reading.request_model
    reading.provider = next((maker for names, maker in _MAKERS if names.fullmatch(model)), "")
    if reading.provider:
        reading.issues.append("assumed_provider")
