"""What the conventions and their drafts say, and what makes a span a call in any dialect."""

from typing import Any

import pytest

from tests.read.otlp_spans import CHAT, call, is_link

INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"


def test_previous_conventions_are_read() -> None:
    """`gen_ai.system` and prompt tokens, as before 1.27 and 1.37."""
    found = call(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4",
            "gen_ai.usage.prompt_tokens": 10,
            "gen_ai.usage.completion_tokens": 3,
        }
    )
    assert (found.usage.provider, dict(found.usage.quantities)) == ("openai", {"input_tokens": 10, "output_tokens": 3})


@pytest.mark.parametrize("name", ["cache_write", "cache_creation"])
def test_both_names_of_cache_writes_are_read(name: str) -> None:
    """The rename is in flight; both are emitted today."""
    found = call({**CHAT, INPUT: 100, OUTPUT: 1, f"gen_ai.usage.{name}.input_tokens": 30})
    assert found.usage.quantities["cache_write_tokens"] == 30


def test_parts_by_modality_are_read_under_both_drafts() -> None:
    """Audio, image and reasoning counts of the conventions, and the spelling of the voice draft."""
    found = call(
        {
            **CHAT,
            INPUT: 300,
            OUTPUT: 500,
            "gen_ai.usage.audio.input_tokens": 100,
            "gen_ai.usage.output_audio_tokens": 400,
            "gen_ai.usage.image.input_tokens": 50,
            "gen_ai.usage.audio.cache_read.input_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 40,
            "gen_ai.usage.reasoning.output_tokens": 60,
        }
    )
    assert found.usage.quantities == {
        "input_tokens": 300,
        "output_tokens": 500,
        "cache_read_tokens": 40,
        "input_audio_tokens": 100,
        "cache_audio_read_tokens": 20,
        "input_image_tokens": 50,
        "output_audio_tokens": 400,
        "reasoning_tokens": 60,
    }


@pytest.mark.parametrize(
    ("attributes", "operation"),
    [
        ({INPUT: 3}, "chat"),
        ({"gen_ai.usage.input_characters": 3}, "text_to_speech"),
        ({"gen_ai.usage.audio.input_seconds": 3.5}, "speech_to_text"),
        ({"telephony.call.duration_seconds": 3}, "phone_call"),
        ({"telephony.call.id": "CA1"}, "phone_call"),
        ({"gen_ai.request.model": "gpt-4o"}, "chat"),
        ({"gen_ai.response.model": "gpt-4o"}, "chat"),
    ],
)
def test_a_missing_operation_is_inferred_from_what_was_used(attributes: dict[str, Any], operation: str) -> None:
    """And said to be inferred."""
    found = call(attributes)
    assert found.usage.operation == operation
    assert found.issues == ("assumed_operation",)


def test_a_model_alone_makes_no_call_of_an_inner_span() -> None:
    """Frameworks put the model on spans of their own; only a client span asked somebody."""
    assert is_link({"gen_ai.request.model": "gpt-4o"}, kind=1)
    assert is_link({"gen_ai.conversation.id": "c"}, kind=3)


def test_an_unknown_operation_is_a_call_if_it_brings_usage() -> None:
    """A price may exist for it; without usage it frames something."""
    found = call({**CHAT, "gen_ai.operation.name": "Dream", INPUT: 5})
    assert found.usage.operation == "dream"
    assert is_link({**CHAT, "gen_ai.operation.name": "Dream"})


@pytest.mark.parametrize("operation", ["invoke_agent", "create_agent", "execute_tool", "invoke_workflow", "plan"])
def test_wrappers_are_never_calls(operation: str) -> None:
    """Whatever usage they repeat."""
    assert is_link({**CHAT, "gen_ai.operation.name": operation, INPUT: 5, OUTPUT: 5})


def test_aggregated_usage_is_not_usage() -> None:
    """Sums over several calls live in a namespace of their own that nobody reads."""
    assert is_link({"gen_ai.aggregated_usage.input_tokens": 500})


@pytest.mark.parametrize(
    ("attribute", "quantity"),
    [
        ("gen_ai.usage.video.input_tokens", "input_video_tokens"),
        ("gen_ai.usage.details.video_prompt_tokens", "input_video_tokens"),
        ("gen_ai.usage.details.image_cache_tokens", "cache_image_read_tokens"),
        ("gen_ai.usage.citation_tokens", "citation_tokens"),
    ],
)
def test_the_rarer_parts_are_read(attribute: str, quantity: str) -> None:
    """Video, cached images and citations have prices of their own where a provider bills them."""
    found = call({**CHAT, "gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 5, attribute: 300})
    assert found.usage.quantities[quantity] == 300
    assert found.issues == ()
