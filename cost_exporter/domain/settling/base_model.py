"""Model names that mean one model: compared without vendor, region, version and date.

Names are only used here to compare spans of one call. The price of a model is looked up by its full name
(`match.py`), where a region or an edition may matter.
"""

import re
from functools import lru_cache
from typing import Final

__all__ = ["are_one_model", "base_model"]

_DATE_SUFFIX: Final = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8})$")
# `us.anthropic.`, and `anthropic.` where an emitter cut off the region; Traceloop cuts off the vendor as well (0.62.4).
_BEDROCK_PREFIX: Final = re.compile(
    r"(?:[a-z]{2,8}(?:-gov)?\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshotai?|nvidia|openai|qwen|writer|zai)"
    r"\.(?=[a-z0-9-]*\d)"
)
_BEDROCK_REVISION: Final = re.compile(r":\d(?::\d+k)?$")
"""`nova-pro-v1:0`, `claude-3-haiku-20240307-v1:0:200k`; a tag of Ollama's (`:8b`) or a fine-tuning's id is none."""
_CLAUDE_EDITION: Final = re.compile(r"(claude-.+)-v\d+")
"""Bedrock numbers what Anthropic names without number, and states Anthropic's name in the answer of InvokeModel."""


@lru_cache(maxsize=4096)
def base_model(model: str) -> str:
    """Return a model name without vendor, region, version and date: `openai/gpt-4o-2024-08-06` -> `gpt-4o`."""
    name = _BEDROCK_REVISION.sub("", _BEDROCK_PREFIX.sub("", model.rpartition("/")[2]))
    edition = _CLAUDE_EDITION.fullmatch(name)
    return _undated(name if edition is None else edition[1])


@lru_cache(maxsize=4096)
def are_one_model(provider: str, model: str, other_provider: str, other_model: str) -> bool:
    """Return whether two names may be of one model; the providers decide where only Bedrock's spelling differs.

    An empty name matches every model. Applications often send one request to a model's vendor and to Bedrock at the
    same time, and only the name shows that these are two calls.
    """
    if not model or not other_model or model == other_model:
        return True
    if base_model(model) != base_model(other_model):
        return False
    may_be_asked_at_one = provider == other_provider or not provider or not other_provider
    return may_be_asked_at_one or _without_vendor(model) == _without_vendor(other_model)


def _without_vendor(model: str) -> str:
    return _undated(model.rpartition("/")[2])


def _undated(name: str) -> str:
    return _DATE_SUFFIX.sub("", name)
