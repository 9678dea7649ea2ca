"""Usage that is stated twice, in several rounds, or under a name that counts something else: named once, or not at all.

What is stated in full must be read in full, and a value that is no count of tokens must not cast doubt on those that
are.
"""

import json
from typing import Any

import pytest

from tests.read.otlp_spans import CHAT, call

COUNTED = {**CHAT, "gen_ai.usage.input_tokens": 5000, "gen_ai.usage.output_tokens": 100}
CLAUDE = {**CHAT, "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5"}
GEMINI = {**CHAT, "gen_ai.provider.name": "gcp.gemini", "gen_ai.request.model": "gemini-2.5-flash"}
USAGE = "gen_ai.usage."


def test_a_part_of_zero_beside_another_name_of_it_is_compared() -> None:
    """0 under the first name is no reason to overlook 4,000 under the second; two zeros are one."""
    zero = {**COUNTED, f"{USAGE}cache_read.input_tokens": 0}
    for _ in range(2):  # the second may go the short way
        found = call({**zero, f"{USAGE}cached_tokens": 4000})
        assert found.issues == (f"conflicting_usage: {USAGE}cached_tokens = 4000, cache_read_tokens = 0",)
        assert (found.usage.is_estimated, found.usage.is_incomplete) == (True, False)
        assert call({**zero, f"{USAGE}cached_tokens": 0}).issues == ()
    assert call({**zero, f"{USAGE}cached_tokens": 0}).usage.quantities == {"input_tokens": 5000, "output_tokens": 100}


@pytest.mark.parametrize(
    ("terms", "tier", "speed", "issues"),
    [
        ({"speed": "fast"}, "", "fast", ()),
        ({"speed": "Fast", "service_tier": "priority"}, "priority", "fast", ()),
        ({"inference_geo": "us"}, "", "", ("unpriced_term: inference_geo = us",)),
        ({"speed": "standard", "inference_geo": "global", "service_tier": "standard"}, "standard", "", ()),
    ],
)
def test_the_ai_sdk_hands_on_at_which_price_anthropic_answered(
    terms: dict[str, str], tier: str, speed: str, issues: tuple[str, ...]
) -> None:
    """Fast answers and those of one place cost more than the counts alone show."""
    metadata = {"anthropic": {"usage": {"input_tokens": 50, "output_tokens": 5, **terms}}}
    attributes = {
        **CLAUDE,
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.response.providerMetadata": json.dumps(metadata),
    }
    found = call(attributes, scope="ai")
    assert found.usage.quantities == {"input_tokens": 50, "output_tokens": 5}
    assert (found.usage.service_tier, found.usage.speed, found.issues) == (tier, speed, issues)
    assert found.usage.is_estimated is bool(issues)
