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


@pytest.mark.parametrize("count", [1, 2, 12, 150])
def test_rounds_that_add_up_are_no_more_than_their_sum(count: int) -> None:
    """However many there are, before or after their sum, and however deep in them a number is."""
    one = {"type": "message", "input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 7}
    rounds = [{**one, "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3}}] * count
    usage: dict[str, Any] = {
        "iterations": rounds,
        "input_tokens": 10 * count,
        "output_tokens": 5 * count,
        "cache_creation_input_tokens": 7 * count,
        "cache_creation": {"ephemeral_5m_input_tokens": 4 * count, "ephemeral_1h_input_tokens": 3 * count},
    }
    found = call({**CLAUDE, "foo.usage": json.dumps(usage)})
    assert (found.issues, found.usage.is_incomplete) == ((), False)
    assert found.usage.quantities["cache_write_5m_tokens"] == 4 * count
    short = {**usage, "cache_creation": {**usage["cache_creation"], "ephemeral_5m_input_tokens": 4 * count + 1}}
    found = call({**CLAUDE, "foo.usage": json.dumps(short)})
    place = "foo.usage.iterations.0.cache_creation.ephemeral_5m_input_tokens = 4"
    assert found.issues[0] == f"unread_usage: {place}"
    assert (len(found.issues), found.usage.is_incomplete) == (min(count, 33), True)
    assert (found.issues[-1] == f"more_issues: {count - 32}") is (count > 32)


def test_the_sum_of_rounds_may_stand_outside_of_their_object() -> None:
    """Two lists are two sums, and a sum that nobody states is more than was read."""
    rounds = [{"input_tokens": 20}, {"input_tokens": 30}]
    usage: dict[str, Any] = {"input_tokens": 50, "output_tokens": 5, "details": {"iterations": rounds}}
    assert call({**CLAUDE, "foo.usage": json.dumps(usage)}).issues == ()
    assert call({**CLAUDE, "foo.usage": json.dumps({**usage, "attempts": rounds})}).issues == ()
    more = call({**CLAUDE, "foo.usage": json.dumps({**usage, "attempts": [*rounds, {"input_tokens": 1}]})})
    assert (len(more.issues), more.usage.is_incomplete) == (3, True)
    assert call({**CLAUDE, "foo.usage": json.dumps({**usage, "attempts": [{"cached_tokens": 9}]})}).issues != ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((f"{USAGE}model", model) for model in ("gpt-4o", "gpt-3.5-turbo", "llama-3.1-8b", "gemini-1.5-pro-002")),
        *((f"{USAGE}tokenizer", name) for name in ("o200k_base", "cl100k_base", "p50k_base")),
        *((f"{USAGE}model", model) for model in ("anthropic/claude-3.5-sonnet", "gpt-4o-2024-08-06", "v1.5")),
    ],
)
def test_a_digit_within_a_word_is_no_number(name: str, text: str) -> None:
    """The name of a model or a tokenizer that stands among usage counts nothing."""
    found = call({**COUNTED, name: text})
    assert (found.issues, found.usage.is_estimated, found.usage.is_incomplete) == ((), False, False)


@pytest.mark.parametrize("text", ["about 4000", "~4000", "n=4000", "tokens: 4,480", "(4000)", "ca.4000", "0.5 of it"])
def test_a_digit_that_begins_a_word_is_a_number(text: str) -> None:
    """It may be what was used."""
    assert call({**COUNTED, f"{USAGE}cached_foo_tokens": text}).usage.is_incomplete


@pytest.mark.parametrize(
    "name",
    [
        *("gen_ai.request.thinking", "has_audio", "gen_ai.request.reasoning", f"{USAGE}has_images", "llm.image_input"),
        *("gen_ai.request.prompt_cache", "llm.use_cache", "gen_ai.cache_control.ephemeral", "openai.store_cache"),
    ],
)
def test_a_flag_that_is_no_hit_in_a_cache_says_nothing(name: str) -> None:
    """That there was audio, or that the model was to think or to cache, is no usage."""
    for value in (True, "true", False):
        found = call({**COUNTED, name: value})
        assert (found.issues, found.usage.is_estimated) == ((), False)


COMPACTION = "anthropic.usage.compaction.input_tokens"


@pytest.mark.parametrize(
    ("written", "issue"),
    [
        (-900, f"impossible_count:{COMPACTION}"),
        ("-900", f"impossible_count:{COMPACTION}"),
        (1.5, f"impossible_count:{COMPACTION}"),
        (float("nan"), f"impossible_count:{COMPACTION}"),
        (float("-inf"), f"impossible_count:{COMPACTION}"),
        (10**18, f"impossible_count:{COMPACTION}"),
        ("***", f"unreadable:{COMPACTION}"),
        ([1], f"unreadable:{COMPACTION}"),
        (True, f"unreadable:{COMPACTION}"),
    ],
)
def test_a_compaction_that_counts_nothing_possible_changes_no_total(written: object, issue: str) -> None:
    """It is billed, and how much it was is not known."""
    stated = {**CLAUDE, f"{USAGE}input_tokens": 5000, f"{USAGE}output_tokens": 100}
    found = call({**stated, COMPACTION: written}, scope="com.anthropic.sdk.python")
    assert found.usage.quantities == {"input_tokens": 5000, "output_tokens": 100}
    assert (found.issues, found.usage.is_estimated, found.usage.is_incomplete) == ((issue,), True, True)


@pytest.mark.parametrize("written", ["", None, [], {}, "none", 0, 0.0, "0"])
def test_a_compaction_of_nothing_says_nothing(written: object) -> None:
    """Neither an empty value nor a zero."""
    stated = {**CLAUDE, f"{USAGE}input_tokens": 5000, f"{USAGE}output_tokens": 100}
    found = call({**stated, COMPACTION: written}, scope="com.anthropic.sdk.python")
    assert found.usage.quantities == {"input_tokens": 5000, "output_tokens": 100}
    assert (found.issues, found.usage.is_estimated, found.usage.is_incomplete) == ((), False, False)


@pytest.mark.parametrize("name", ["gen_ai.total_count", "llm.total_count", "gen_ai.count_total", "openai.total_count"])
def test_a_total_of_something_else_is_no_total_of_tokens(name: str) -> None:
    """Choices, documents, retries: only a word of tokens or of usage says what was added up."""
    found = call({**COUNTED, name: 3})
    assert (found.issues, found.usage.is_estimated) == ((), False)


def test_a_usage_object_that_stands_twice_on_a_span_is_one() -> None:
    """What Google's own tools asked was read the first time; another number of it was not."""
    usage = {"prompt_token_count": 50, "candidates_token_count": 5, "tool_use_prompt_token_count": 7}
    first = {**GEMINI, "foo.usage_metadata": json.dumps(usage)}
    for again in (usage, {**usage, "total_token_count": 62}, {"tool_use_prompt_token_count": 7}):
        found = call({**first, "llm.response_metadata": json.dumps({"usage_metadata": again})})
        assert found.usage.quantities == {"input_tokens": 57, "output_tokens": 5}
        assert (found.issues, found.usage.is_incomplete) == ((), False)
    other = json.dumps({"usage_metadata": {**usage, "tool_use_prompt_token_count": 9}})
    found = call({**first, "llm.response_metadata": other})
    assert found.issues == ("unread_usage: llm.response_metadata.usage_metadata.tool_use_prompt_token_count = 9",)
    assert found.usage.is_incomplete


def test_what_googles_tools_asked_is_in_an_input_that_has_room_for_it() -> None:
    """57 is the prompt and what the tools asked; 50 is the prompt alone, and then 7 more were used."""
    usage = json.dumps({"prompt_token_count": 50, "candidates_token_count": 5, "tool_use_prompt_token_count": 7})
    counted = {**GEMINI, f"{USAGE}output_tokens": 5, "foo.usage_metadata": usage}
    assert call({**counted, f"{USAGE}input_tokens": 57}).issues == ()
    assert call({**counted, f"{USAGE}input_tokens": 50}).usage.is_incomplete


def test_no_number_of_rounds_hides_the_totals_beside_them() -> None:
    """What is cut off makes the record partial, but its totals are read."""
    one = {"input_tokens": 1, "output_tokens": 1, "foo_tokens": 1, "bar_tokens": 1, "baz_tokens": 1}
    usage = {"iterations": [one] * 2000, "input_tokens": 2000, "output_tokens": 2000}
    found = call({**CLAUDE, "foo.usage": json.dumps(usage)})
    assert found.usage.quantities == {"input_tokens": 2000, "output_tokens": 2000}
    assert (found.usage.is_incomplete, len(found.issues)) == (True, 33)


def test_a_place_that_is_stated_twice_is_named_once() -> None:
    """Two objects of one answer are one answer."""
    usage = json.dumps({"input_tokens": 10, "output_tokens": 5, "inference_geo": "us"})
    found = call({**CLAUDE, "foo.usage": usage, "bar.usage": usage})
    assert found.issues == ("unpriced_term: inference_geo = us",)


@pytest.mark.parametrize("scope", ["openlit.instrumentation.anthropic", "openlit", "some.scope"])
@pytest.mark.parametrize(("stated", "inclusive"), [(50, 1350), (5000, 6300)])
def test_what_was_cached_is_added_to_the_input_once(scope: str, stated: int, inclusive: int) -> None:
    """Anthropic's own object is made inclusive when it is read, whatever its emitter does with its attributes."""
    usage = {"input_tokens": stated, "output_tokens": 5}
    usage |= {"cache_read_input_tokens": 1000, "cache_creation_input_tokens": 300}
    for beside in ({}, {f"{USAGE}cache_read.input_tokens": 1000}):
        found = call({**CLAUDE, **beside, "foo.usage": json.dumps(usage)}, scope=scope)
        assert found.usage.quantities["input_tokens"] == inclusive
        assert (found.issues, found.usage.is_estimated) == ((), False)


@pytest.mark.parametrize("scope", ["openlit.instrumentation.anthropic", "some.scope"])
@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 1050, "completion_tokens": 5, "cache_read_input_tokens": 1000},
        {"prompt_tokens": 1050, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1000}},
        {"input_tokens": 1050, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 1000}},
        {"input_tokens": 1050, "output_tokens": 5, "input_token_details": {"cache_read": 1000}},
        {"input_tokens": 50, "output_tokens": 5, "cache_read_input_tokens": 1000},
        {"inputTokens": 50, "outputTokens": 5, "cacheReadInputTokens": 1000, "totalTokens": 1055},
    ],
)
def test_the_words_of_a_usage_object_decide_what_is_in_its_input(scope: str, usage: dict[str, Any]) -> None:
    """Not the rule for the attributes of its emitter: OpenLIT's count input without what was cached."""
    found = call({**CLAUDE, "foo.usage": json.dumps(usage)}, scope=scope)
    assert found.usage.quantities == {"input_tokens": 1050, "output_tokens": 5, "cache_read_tokens": 1000}
    assert (found.issues, found.usage.is_estimated) == ((), False)


@pytest.mark.parametrize("scope", ["openlit.instrumentation.anthropic", "some.scope"])
@pytest.mark.parametrize(
    ("stated", "usage", "inclusive"),
    [
        (1050, {"input_tokens": 50, "output_tokens": 5, "cache_read_input_tokens": 1000}, 1050),
        (50, {"input_tokens": 50, "output_tokens": 5, "cache_read_input_tokens": 1000}, 1050),
        (5000, {"input_tokens": 5000, "output_tokens": 5, "cache_read_input_tokens": 1000}, 6000),
        (1050, {"input_tokens": 1050, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 1000}}, 1050),
    ],
)
def test_a_usage_object_shows_what_the_attributes_count(
    scope: str, stated: int, usage: dict[str, Any], inclusive: int
) -> None:
    """The input beside it is one of its two figures: with what was cached, or without."""
    attributes = {**CLAUDE, f"{USAGE}input_tokens": stated, f"{USAGE}output_tokens": 5, "foo.usage": json.dumps(usage)}
    found = call(attributes, scope=scope)
    assert found.usage.quantities == {"input_tokens": inclusive, "output_tokens": 5, "cache_read_tokens": 1000}
    assert (found.issues, found.usage.is_estimated) == (("exclusive_input",) if inclusive > stated else (), False)


@pytest.mark.parametrize("scope", ["openlit.instrumentation.anthropic", "some.scope"])
@pytest.mark.parametrize(("stated", "kept"), [(50, "5m"), (5000, "1h")])
def test_what_anthropic_wrote_to_its_cache_is_added_where_only_its_parts_are_stated(
    scope: str, stated: int, kept: str
) -> None:
    """By how long it is kept."""
    usage = {"input_tokens": stated, "output_tokens": 5, "cache_creation": {f"ephemeral_{kept}_input_tokens": 1000}}
    found = call({**CLAUDE, "foo.usage": json.dumps(usage)}, scope=scope)
    written = {f"cache_write_{kept}_tokens": 1000, "cache_write_tokens": 1000}
    assert found.usage.quantities == {"input_tokens": stated + 1000, "output_tokens": 5, **written}
    assert (found.issues, found.usage.is_estimated) == ((), False)


def test_a_part_that_exceeds_its_input_in_a_usage_object_is_beside_it() -> None:
    """As in attributes: of Anthropic for sure, of anybody else by assumption."""
    usage = {"prompt_tokens": 50, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1000}}
    found = call({**CLAUDE, "foo.usage": json.dumps(usage)})
    assert (found.usage.quantities["input_tokens"], found.issues) == (1050, ("exclusive_input",))
    found = call({**CHAT, "foo.usage": json.dumps(usage)}, scope="some.scope")
    assert (found.usage.quantities["input_tokens"], found.usage.is_estimated) == (1050, True)


@pytest.mark.parametrize("scope", ["openlit.instrumentation.google_ai_studio", "some.scope"])
@pytest.mark.parametrize("stated", [None, 7, 12])
def test_googles_thoughts_are_added_to_the_output_once(scope: str, stated: int | None) -> None:
    """Whether the output beside its usage object has them or not."""
    usage = {"prompt_token_count": 50, "candidates_token_count": 7, "thoughts_token_count": 5}
    beside = {} if stated is None else {f"{USAGE}input_tokens": 50, f"{USAGE}output_tokens": stated}
    found = call({**GEMINI, **beside, "foo.usage_metadata": json.dumps(usage)}, scope=scope)
    assert found.usage.quantities == {"input_tokens": 50, "output_tokens": 12, "reasoning_tokens": 5}
    assert (found.issues, found.usage.is_estimated) == (("thoughts_beside_output",) if stated == 7 else (), False)
