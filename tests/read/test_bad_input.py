"""Bad input: a span is read as far as it can be, what is wrong is named, and nothing crashes the batch."""

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_exporter.domain.quantity import InconsistentUsage, disjoint_parts
from cost_exporter.read.layout import WANTED
from tests.read.otlp_spans import CHAT, call, document, facts

INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"


@pytest.mark.parametrize(
    ("stated", "read"),
    [("12", 12), (" 12 ", 12), ("1200.0", 1200), (1200.0, 1200), (12, 12), ("1e3", 1000)],
)
def test_numbers_come_in_other_shapes(stated: Any, read: int) -> None:
    """Strings and doubles that mean a count are that count."""
    found = call({**CHAT, INPUT: stated, OUTPUT: 1})
    assert found.usage.quantities == {"input_tokens": read, "output_tokens": 1}
    assert found.issues == ()


@pytest.mark.parametrize("stated", ["twelve", True, [12], {"n": 12}, b"12", "1_000", "NaN", "0x10"])
def test_what_is_no_number_makes_the_usage_invalid(stated: Any) -> None:
    """The rest alone would have a price, and one too low; what is wrong is named by its attribute."""
    found = call({**CHAT, INPUT: stated, OUTPUT: 5})
    assert found.usage.quantities == {"input_tokens": -1, "output_tokens": 5}
    assert found.issues == (f"unreadable:{INPUT}", "impossible_count:input_tokens")
    with pytest.raises(InconsistentUsage):
        disjoint_parts(found.usage.quantities)


@pytest.mark.parametrize("stated", ["", " ", "None", "null", "undefined", None])
def test_words_for_nothing_are_nothing(stated: Any) -> None:
    """An emitter that turns all it has into text writes them where it has no number."""
    found = call({**CHAT, INPUT: stated, OUTPUT: 5})
    assert found.usage.quantities == {"output_tokens": 5}
    assert found.issues == ()


def test_an_unreadable_count_that_changes_no_price_is_only_named() -> None:
    """Reasoning is part of the output and costs what that costs."""
    found = call({**CHAT, INPUT: 12, OUTPUT: 5, "gen_ai.usage.reasoning_tokens": "some"})
    assert found.usage.quantities == {"input_tokens": 12, "output_tokens": 5}
    assert found.issues == ("unreadable:gen_ai.usage.reasoning_tokens",)


def test_what_the_answer_says_stands_in_for_an_unreadable_count() -> None:
    """The vendor's own object is as good as an attribute, and is read after them."""
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.token_count.prompt": "many",
        "output.value": '{"usage": {"prompt_tokens": 12, "completion_tokens": 5}}',
    }
    assert call(attributes).usage.quantities == {"input_tokens": 12, "output_tokens": 5}


def test_null_and_empty_values_are_simply_absent() -> None:
    """Traceloop writes null for everything the caller left out."""
    found = call({**CHAT, INPUT: None, OUTPUT: None, "gen_ai.response.id": None, "error.type": ""})
    assert found.usage.quantities == {}
    assert (found.call_id, found.error_type, found.issues) == ("", "", ())


def test_an_unreadable_name_falls_back_to_the_next() -> None:
    """First present and readable wins."""
    found = call({**CHAT, INPUT: "none", "gen_ai.usage.prompt_tokens": 7})
    assert found.usage.quantities == {"input_tokens": 7}
    found = call({**CHAT, "gen_ai.response.model": None, "ai.response.model": "gpt-5"})
    assert found.usage.model == "gpt-5"


@pytest.mark.parametrize(
    "stated",
    [-1, 10**12 + 1, 2**63 - 1, -(2**63), 1.5, "1.5", "-3", math.nan, math.inf, -math.inf, 2.0**63, "9" * 40, 1e308],
)
def test_impossible_counts_are_kept_as_invalid(stated: Any) -> None:
    """They stay with the record and are named; pricing rejects them, so no sum ever sees them."""
    found = call({**CHAT, INPUT: stated, OUTPUT: 5})
    assert found.issues == ("impossible_count:input_tokens",)
    number = found.usage.quantities["input_tokens"]
    assert Decimal(number).is_finite()
    assert abs(number) < 2**63
    with pytest.raises(InconsistentUsage):
        disjoint_parts(found.usage.quantities)


def test_a_text_may_be_any_type() -> None:
    """Numbers and flags where a text belongs are their plain text; lists and maps are nothing."""
    found = call({**CHAT, "gen_ai.request.model": 4, "gen_ai.response.id": 1.0, "gen_ai.response.model": ["gpt"]})
    assert (found.usage.model, found.call_id) == ("4", "response:1")
    assert call({**CHAT, "user.id": 1.5}).attribution.user == "1.5"
    assert call({**CHAT, "user.id": False}).attribution.user == "false"
    assert call({**CHAT, "user.id": True}).attribution.user == "true"


def test_the_same_words_of_other_types_are_not_mixed_up() -> None:
    """What is remembered of words that are texts does not answer for words that are numbers."""
    for model, read in ((5, "5"), (6, "6"), ("", ""), (None, "")):
        assert call({**CHAT, "gen_ai.request.model": model}).usage.model == read
        assert call({**CHAT, "user.id": model}).attribution.user == (read or None)


def test_texts_are_cut_and_cleaned() -> None:
    """NUL would break PostgreSQL, and what is longer than 1 KiB is no name."""
    found = call({**CHAT, "gen_ai.response.id": "a\0b", "gen_ai.request.model": "ä" * 5000, "user.id": "line\nbreak"})
    assert found.call_id == "response:a\ufffdb"
    assert found.usage.model == "ä" * 512
    assert found.attribution.user == "line\nbreak"


def test_json_that_does_not_parse_is_as_good_as_absent() -> None:
    """Broken, deep and endless JSON inside attributes leaves the rest of the span readable."""
    deep = "{" + '"a":{' * 20_000 + "}" * 20_001
    for text in (
        "{",
        "[]",
        "null",
        deep,
        "{" + " " * 300_000 + "}",
        '{"usage": []}',
        '{"usage": {"input_tokens": {}}}',
    ):
        found = call(
            {
                "openinference.span.kind": "LLM",
                "llm.model_name": "gpt-4o",
                "llm.token_count.prompt": 5,
                "output.value": text,
                "llm.invocation_parameters": text,
            }
        )
        assert found.usage.quantities == {"input_tokens": 5}


def test_a_python_repr_that_is_no_dict_is_as_good_as_absent() -> None:
    """LiteLLM's repr is parsed as a literal only, and only if it is small."""
    for text in ("{1", "{x()}", "{'a'}", "{" * 100, "{'a': " + "(" * 100, "{'a': 1 +}", "{" + " " * 9000 + "}", "[]"):
        found = call({**CHAT, INPUT: 5, "metadata.usage_object": text}, scope="litellm")
        assert found.usage.quantities == {"input_tokens": 5}


def test_two_hundred_attributes_are_no_trouble() -> None:
    """Only the wanted ones are touched."""
    many = {f"app.attribute.{number}": "x" * 100 for number in range(200)}
    assert call({**many, **CHAT, INPUT: 3}).usage.quantities == {"input_tokens": 3}


def test_a_call_without_model_and_provider_is_a_call() -> None:
    """It cannot be priced, and is not dropped."""
    found = call({"gen_ai.operation.name": "chat", INPUT: 3})
    assert (found.usage.provider, found.usage.model) == ("", "")


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=50),
    st.sampled_from(["chat", "tts", "LLM", "{}", '{"usage": {"prompt_tokens": -1}}', "{'a': 1}", "minute", "1e999999"]),
    st.lists(st.integers(0, 3), max_size=2),
    st.binary(max_size=5),
)


@settings(max_examples=300, deadline=None)
@given(
    attributes=st.dictionaries(st.sampled_from(sorted(WANTED)), VALUES, max_size=12),
    scope=st.sampled_from(
        ["", "litellm", "logfire.openai", "ai", "pipecat", "livekit-agents", "callfare.x", "openlit.x", "langwatch"]
    ),
    name=st.sampled_from(["a", "llm_request", "tts_request", "agent run", "HttpxBinaryResponseContent"]),
    status=st.sampled_from([{}, {"code": 2}]),
)
def test_no_combination_of_attributes_is_our_fault(
    attributes: dict[str, Any], scope: str, name: str, status: dict[str, int]
) -> None:
    """Whatever a span says under the names we read, it becomes a call or a link, with numbers a database can hold."""
    found = facts(document(attributes, scope=scope, name=name, status=status))
    assert not found.dead_letters
    for each in found.calls:
        assert all(Decimal(number).is_finite() and abs(number) < 2**63 for number in each.usage.quantities.values())
        assert each.reported_cost_usd is None or 0 <= each.reported_cost_usd < 10**12
        assert -(2**63) <= each.content_hash < 2**63
