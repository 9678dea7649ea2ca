"""Estimate the usage of a call that reports none, from the length of its text. Marked, and bounded.

The usage of a stream that was interrupted before its end is unknown, not free. Our instrumentors put the length of
the prompt and of the answer on the span, as numbers: the usage is estimated from these, unless
`CALLFARE_ESTIMATE_USAGE=0`. If an emitter puts the text itself on the span, it is counted only if the operator enables
it (`=1`), and is not stored.
A token is four characters, the usual rule of thumb for English. The record says `estimated`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cost_exporter.domain.quantity import Quantity
from cost_exporter.domain.span import Call
from cost_exporter.domain.usage import CHAT_OPERATIONS
from cost_exporter.read.otlp import wire
from cost_exporter.read.otlp.attribute_values import UnreadableValue, readable_text, value_of

__all__ = ["with_estimates"]

CHARACTERS_PER_TOKEN: Final = 4
_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "input_tokens": ("gen_ai.input.messages", "gen_ai.prompt.", "llm.input_messages.", "ai.prompt", "input.value"),
    "output_tokens": (
        "gen_ai.output.messages",
        "gen_ai.completion.",
        "llm.output_messages.",
        "ai.response.text",
        "output.value",
    ),
}
"""Where emitters put the text, richest first; a name that ends in a dot begins many keys, one a message."""
_LENGTHS: Final = {
    "input_tokens": "callfare.request.input_characters",
    "output_tokens": "callfare.response.output_characters",
}
_CHARACTERS_MAX: Final = 50_000_000
"""A longer request is no request that a model takes, and a mistake is not to cost a fortune."""
_SPEECH: Final = "text_to_speech"
_ESTIMATED: Final = CHAT_OPERATIONS | {_SPEECH}
_TEXT_MEMBERS: Final = frozenset({"content", "text", "arguments"})


def with_estimates(
    calls: Sequence[Call], resource_spans: Sequence[wire.ResourceSpans], *, reads_text: bool
) -> Sequence[Call]:
    """Return the calls, those without any usage with an estimate where their span holds lengths, or the text."""
    unknown = {(call.trace_id, call.span_id) for call in calls if _may_be_estimated(call)}
    if not unknown:
        return calls
    spans = {
        (span.trace_id, span.span_id): span.attributes
        for each in resource_spans
        for group in each.scope_spans
        for span in group.spans
        if (span.trace_id, span.span_id) in unknown
    }
    return [_estimated(call, spans.get((call.trace_id, call.span_id)), reads_text=reads_text) for call in calls]


def _may_be_estimated(call: Call) -> bool:
    usage = call.usage
    return not usage.quantities and not usage.is_refused and usage.operation in _ESTIMATED


def _estimated(call: Call, attributes: wire.EncodedAttributes | None, *, reads_text: bool) -> Call:
    if attributes is None:
        return call
    quantities, issue = _from_lengths(call, attributes), "estimated_from_length"
    if not quantities and reads_text and call.usage.operation != _SPEECH:
        quantities, issue = _from_text(attributes), "estimated_from_text"
    if not quantities:
        return call
    usage = replace(call.usage, quantities=quantities, is_estimated=True)
    return replace(call, usage=usage, issues=(*call.issues, issue))


def _from_lengths(call: Call, attributes: wire.EncodedAttributes) -> dict[str, Quantity]:
    lengths = {quantity: _length(attributes, name) for quantity, name in _LENGTHS.items()}
    asked = lengths["input_tokens"]
    if call.usage.operation == _SPEECH:
        return {"characters": asked} if asked else {}
    # A stated 0 is a count: nothing came.
    found: dict[str, Quantity] = {
        quantity: -(-length // CHARACTERS_PER_TOKEN) for quantity, length in lengths.items() if length is not None
    }
    return found if any(found.values()) else {}


def _length(attributes: wire.EncodedAttributes, name: str) -> int | None:
    try:
        stated = value_of(attributes[name]) if name in attributes else None
    except UnreadableValue:
        return None
    if stated is None or stated.WhichOneof("value") != "int_value":
        return None
    return stated.int_value if 0 <= stated.int_value <= _CHARACTERS_MAX else None


def _from_text(attributes: wire.EncodedAttributes) -> dict[str, Quantity]:
    quantities: dict[str, Quantity] = {}
    for quantity, names in _TEXTS.items():
        length = next((found for name in names if (found := _text_length(attributes, name))), 0)
        if length:
            quantities[quantity] = -(-length // CHARACTERS_PER_TOKEN)
    return quantities


def _text_length(attributes: wire.EncodedAttributes, name: str) -> int:
    """Return the number of characters under a name, or under the keys that begin with it."""
    if not name.endswith("."):
        return _content_length(readable_text(attributes[name])) if name in attributes else 0
    return sum(
        _content_length(readable_text(attributes[key]))
        for key in attributes
        if key.startswith(name) and key.rpartition(".")[2] in _TEXT_MEMBERS
    )


def _content_length(text: str) -> int:
    """Return the length of a text, or of the texts in it where it is JSON."""
    if not text.startswith(("[", "{")):
        return len(text)
    try:
        return _length_within(json.loads(text))
    except (ValueError, RecursionError):
        return len(text)


def _length_within(content: Any) -> int:
    if isinstance(content, list):
        return sum(len(each) if isinstance(each, str) else _length_within(each) for each in content)
    if isinstance(content, dict):
        return sum(
            len(each) if isinstance(each, str) and name in _TEXT_MEMBERS else _length_within(each)
            for name, each in content.items()
        )
    return 0
