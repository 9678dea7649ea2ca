"""Find the usage objects on a span that no dialect reads: JSON, a Python repr or a map, whole or within an envelope.

And say of a value that is no number whether it has one all the same.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from cost_exporter.read.fields.reading import Reading
from cost_exporter.read.fields.vendor_usage import (
    BEGINNINGS,
    JSON_LENGTH_MAX,
    json_list,
    object_at,
    object_of,
    read_usage,
    usage_leaves,
)
from cost_exporter.read.otlp.values import json_number, number_of
from cost_exporter.read.otlp.wire import AnyValue
from cost_exporter.read.vocabulary.usage_names import (
    counts_tokens,
    is_container,
    is_envelope,
    is_surely_usage,
    is_vendors_container,
    may_show_value,
)

__all__ = [
    "NAME_LENGTH_MAX",
    "UNREADABLE",
    "is_unread",
    "may_hold_usage",
    "read_containers",
    "usage_object_at",
    "usage_objects",
]

NAME_LENGTH_MAX: Final = 80
"""An application may choose names of any length."""

UNREADABLE: Final = "unreadable"
"""Stands for a value that cannot be kept. Left out, the span might be billed as if it had never stated it."""
_NUMBER_AND_UNIT: Final = re.compile(
    r"\d[\d.,_' ]*(?:k|m|ms|tok|token|char|character|sec|second|min|minute|image|page|request|search|credit)?(?:e?s)?",
    re.IGNORECASE,
)
_MASK: Final = re.compile(
    r"[*#x\u2022.]{3,}|[\[<({*]*(?:redacted|masked|filtered|hidden|removed)[\]>)}*]*", re.IGNORECASE
)
_DIGIT: Final = re.compile(r"(?<![\w-])(?<!\d[.,])\d")
"""One that begins a word: those of `gpt-4o`, `claude-3.5` and `o200k_base` count nothing."""
_WORDS_LENGTH_MAX: Final = 32
_EMPTY: Final = re.compile(r'"?\{\s*\}"?')
_DEPTH_MAX: Final = 3


def read_containers(reading: Reading) -> None:
    """Read the usage objects on a span; a part of one too, such as `gen_ai.usage.input_token_details`."""
    had_input = "input_tokens" in reading.quantities
    for key in reading.layout.containers:
        found = object_of(reading.attributes[key])
        if not found:
            _name_if_unread(reading, key)
        for name, usage in _usage_in(key, found):
            read_usage(reading, name, usage)
    reading.is_input_foreign = not had_input and "input_tokens" in reading.quantities
    for key, _ in reading.layout.unread:
        part = object_of(reading.attributes[key]) if may_show_value(key) else None
        if part:
            whole, _, name = key.rpartition(".")
            read_usage(reading, whole, {name: part})


def usage_object_at(reading: Reading, key: str) -> Mapping[str, Any]:
    """Return the usage object in an attribute that a dialect reads; name the attribute if nobody can read it."""
    found = object_at(reading, key)
    if not found and key in reading.attributes:
        _name_if_unread(reading, key)
    return found


def _name_if_unread(reading: Reading, key: str) -> None:
    """Name an attribute that was to hold usage and cannot be read: too long, cut short, or in words of no use."""
    value = reading.attributes[key]
    if is_unread(key, value) or (is_vendors_container(key) and _is_more(reading, value)):
        reading.issues.append(f"unread_usage: {key[:NAME_LENGTH_MAX]}")
        reading.has_unread_usage = reading.is_incomplete = True


def is_unread(key: str, value: AnyValue) -> bool:
    """Return whether a value in which no object can be read is or was one with usage."""
    return _is_unread_envelope(value) if is_envelope(key) else _is_unread_object(value)


def _is_unread_object(value: AnyValue) -> bool:
    """Return whether a usage object is there and cannot be read."""
    text = value.string_value.strip()
    if value.WhichOneof("value") == "array_value" or text.startswith("["):
        return _lists_numbers(value, text) or len(text) > JSON_LENGTH_MAX
    if text == UNREADABLE:
        return True
    if number_of(value) is not None:
        return False
    return _is_broken(text) or _DIGIT.search(text, 0, JSON_LENGTH_MAX) is not None


def _is_unread_envelope(value: AnyValue) -> bool:
    """Return whether something that cannot be read is about usage."""
    text = value.string_value.strip()
    return text == UNREADABLE or (_is_broken(text) and ("usage" in text or "okens" in text))


def _is_broken(text: str) -> bool:
    """Return whether a text begins as an object and is not an empty one."""
    return text.startswith(BEGINNINGS) and _EMPTY.fullmatch(text, 0, _WORDS_LENGTH_MAX) is None


def _is_more(reading: Reading, value: AnyValue) -> bool:
    """Return whether a bare number is more than all tokens that were read."""
    number = number_of(value)
    of = reading.quantities.get
    return number is not None and number > of("input_tokens", 0) + of("output_tokens", 0)


def usage_objects(reading: Reading) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield the usage objects on a span with their names."""
    for key in reading.layout.containers:
        yield from _usage_in(key, object_of(reading.attributes[key]))


def _usage_in(key: str, found: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    if is_envelope(key):
        yield from _within(found, key, _DEPTH_MAX)
    else:
        yield key, found


def _within(envelope: Mapping[str, object], prefix: str, depth: int) -> Iterator[tuple[str, Mapping[str, object]]]:
    for name, each in envelope.items():
        if isinstance(each, Mapping):
            inner, path = cast("Mapping[str, object]", each), f"{prefix}.{name}"
            if is_container(name):
                yield path, inner
            elif depth:
                yield from _within(inner, path, depth - 1)


def may_hold_usage(key: str, value: AnyValue) -> bool:
    """Return whether a value that is no number has one: a list, an object, a text with one, or with a mask over it."""
    is_listed = value.WhichOneof("value") == "array_value"
    text = value.string_value.strip()
    is_known_to_count, is_sure = may_show_value(key), is_surely_usage(key)
    if is_listed or text.startswith("["):
        return is_known_to_count and _lists_numbers(value, text)
    if value.WhichOneof("value") == "kvlist_value" or text.startswith("{"):
        # Where the name is that of a part of a usage object, its numbers were taken from it.
        return not is_known_to_count and counts_tokens(key) and bool(usage_leaves(object_of(value)))
    if text == UNREADABLE or ((is_known_to_count or is_sure) and _NUMBER_AND_UNIT.fullmatch(text)):
        return True
    is_short = len(text) <= _WORDS_LENGTH_MAX
    return is_known_to_count and is_sure and is_short and bool(_MASK.fullmatch(text) or _DIGIT.search(text))


def _lists_numbers(value: AnyValue, text: str) -> bool:
    if text:
        return any(json_number(each) is not None or isinstance(each, dict) for each in json_list(text)) or bool(
            _MASK.fullmatch(text)
        )
    return any(
        number_of(each) is not None or each.WhichOneof("value") == "kvlist_value" for each in value.array_value.values
    )
