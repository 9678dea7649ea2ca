"""Attribute values of every shape as plain Python values."""

from typing import Any

import pytest

from cost_exporter.read.otlp.values import json_count
from cost_exporter.read.otlp.wire import are_values_sound
from tests.read.otlp_spans import document, request
from tests.support.attribute_values import plain


@pytest.mark.parametrize("value", [None, "a", True, 5, 1.5, b"x", ["a", 1, None], {"a": [1], "b": {"c": "d"}}])
def test_values_come_back_as_they_were(value: Any) -> None:
    """Also nested lists and maps."""
    span = request(document({"key": value}))[0].scope_spans[0].spans[0]
    assert plain(span.attributes["key"]) == value


@pytest.mark.parametrize(
    ("value", "count"), [(True, None), (5, 5), (5.0, 5), ("5", 5), ("x", None), (None, None), ([5], None)]
)
def test_counts_in_json_are_numbers(value: Any, count: int | None) -> None:
    """A flag is no count, though Python thinks it is."""
    assert json_count(value) == count


def test_values_that_no_decoder_takes_are_not_sound() -> None:
    """A span whose attribute is cut off in the middle spoils the look at all of them."""
    assert are_values_sound([])
    assert not are_values_sound([b"\x4a\x7f"])
