"""Whether what two spans report can be one call: every condition by itself, in both directions."""

from typing import Any

import pytest

from cost_exporter.domain.settling.agreement import (
    agree,
    agree_but_for_cache,
    agree_but_for_model,
    agree_where_both_report,
    omits_cached_tokens_of,
    report_the_same,
    uncached_bucket,
)
from tests.domain.builders import call

TOTAL = {"input_tokens": 1350, "output_tokens": 120}
CACHED = TOTAL | {"cache_read_tokens": 1000}
CLAUDE: dict[str, Any] = {"provider": "aws", "model": "anthropic.claude-opus-5-v1:0"}


@pytest.mark.parametrize(
    ("mine", "theirs", "agrees"),
    [
        (TOTAL, TOTAL, True),
        (TOTAL, TOTAL | {"output_tokens": 122}, True),
        (TOTAL, TOTAL | {"output_tokens": 123}, False),
        (TOTAL, CACHED, True),
        (CACHED, TOTAL | {"cache_read_tokens": 900}, False),
        (CACHED, TOTAL | {"cache_read_tokens": 0}, True),
        (TOTAL | {"reasoning_tokens": 5}, TOTAL | {"reasoning_tokens": 6}, False),
        (TOTAL | {"cache_write_tokens": 5}, TOTAL | {"cache_write_tokens": 6}, False),
        (TOTAL, {"input_tokens": 1350}, True),
        ({"input_tokens": 1350}, {"input_tokens": 1350}, True),
        ({"audio_seconds": 3}, {"audio_seconds": 3, "output_tokens": 1}, False),
        ({"audio_seconds": 3}, {"audio_seconds": 3}, True),
    ],
)
def test_usage_agrees_as_far_as_both_report_it(mine: dict[str, Any], theirs: dict[str, Any], agrees: bool) -> None:
    """A part of 0 is none, an output may be missing beside an input, and a stream may be two tokens off."""
    one, other = call("a", quantities=mine), call("b", quantities=theirs)
    assert agree_where_both_report(one, other) is agree_where_both_report(other, one) is agrees


@pytest.mark.parametrize(
    ("fields", "agrees"),
    [
        ({}, True),
        ({"quantities": {}}, True),
        ({"operation": "text_completion"}, True),
        ({"operation": "embeddings"}, False),
        ({"quantities": {"input_tokens": 1, "output_tokens": 120}}, False),
        ({"model": "gpt-4o"}, False),
        ({"model": "gpt-4o-mini-2024-07-18"}, True),
    ],
)
def test_calls_agree_in_kind_model_and_usage(fields: dict[str, Any], agrees: bool) -> None:
    """A call without usage contradicts none of its kind and model."""
    one, other = call("a", quantities=TOTAL), call("b", **{"quantities": TOTAL} | fields)
    assert agree(one, other) is agree(other, one) is agrees
    without_model = agrees or fields.get("model") == "gpt-4o"
    assert agree_but_for_model(one, other) is agree_but_for_model(other, one) is without_model


def test_an_operation_of_unknown_kind_is_itself() -> None:
    """Two names that are no chat are two kinds."""
    speech = {"operation": "text_to_speech", "quantities": {"characters": 9}}
    assert agree(call("a", **speech), call("b", **speech))
    assert not agree(call("a", **speech), call("b", **speech | {"operation": "speech_to_text"}))


REST = {"input_tokens": 350, "output_tokens": 120}


@pytest.mark.parametrize(
    ("part", "whole", "omits"),
    [
        ({}, {}, True),
        ({"provider": "anthropic"}, {}, False),
        ({}, {"provider": "anthropic"}, False),
        ({}, {"scope": "part"}, False),
        ({"quantities": REST | {"cache_read_tokens": 1}}, {}, False),
        ({"quantities": {"input_tokens": 350}}, {}, False),
        ({"quantities": REST | {"output_tokens": 121}}, {}, False),
        ({"quantities": REST | {"input_tokens": 351}}, {}, False),
        ({"quantities": TOTAL}, {"quantities": TOTAL}, False),
        ({"quantities": {"output_tokens": 120}}, {"quantities": {"output_tokens": 120, "cache_read_tokens": 1}}, True),
        ({"quantities": REST | {"input_tokens": 340}}, {"quantities": CACHED | {"cache_write_tokens": 10}}, True),
    ],
)
def test_a_span_may_omit_what_was_cached(part: dict[str, Any], whole: dict[str, Any], omits: bool) -> None:
    """Of Bedrock only, to the token, and only in one direction."""
    lesser = call("a", **CLAUDE | {"scope": "part", "quantities": REST} | part)
    greater = call("b", **CLAUDE | {"scope": "whole", "quantities": CACHED} | whole)
    assert omits_cached_tokens_of(lesser, greater) is omits
    assert not omits_cached_tokens_of(greater, lesser)
    assert agree_but_for_cache(lesser, greater) is agree_but_for_cache(greater, lesser) is omits


@pytest.mark.parametrize("other", [{"model": "anthropic.claude-sonnet-5-v1:0"}, {"operation": "embeddings"}])
def test_what_was_cached_is_missing_in_one_call_only(other: dict[str, Any]) -> None:
    """Another model, or another kind, is another call."""
    lesser = call("a", **CLAUDE, scope="part", quantities=REST)
    greater = call("b", **CLAUDE | {"scope": "whole", "quantities": CACHED} | other)
    assert not agree_but_for_cache(lesser, greater)


def test_a_bucket_holds_what_may_be_one_call_but_for_what_was_cached() -> None:
    """The rest of the input, with a base model, a kind and an output; of Bedrock only."""
    part = uncached_bucket(call("a", **CLAUDE, quantities=REST))
    assert part is not None
    assert part == uncached_bucket(call("b", **CLAUDE, quantities=CACHED))
    assert part == uncached_bucket(call("b", **CLAUDE, quantities=CACHED, operation="text_completion"))
    differing: list[dict[str, Any]] = [
        {"quantities": REST | {"input_tokens": 351}},
        {"quantities": REST | {"output_tokens": 121}},
        {"model": "anthropic.claude-sonnet-5-v1:0"},
        {"operation": "embeddings"},
    ]
    for fields in differing:
        assert part != uncached_bucket(call("b", **CLAUDE | {"quantities": REST} | fields))
    assert uncached_bucket(call("b", quantities=REST)) is None


@pytest.mark.parametrize(
    ("theirs", "same"),
    [(CACHED, True), (TOTAL, False), ({"input_tokens": 1350, "cache_read_tokens": 1000}, False)],
)
def test_two_calls_report_the_same_parts(theirs: dict[str, Any], same: bool) -> None:
    """Cached tokens and whether there is an output."""
    one, other = call("a", quantities=CACHED), call("b", quantities=theirs)
    assert report_the_same(one, other) is report_the_same(other, one) is same
