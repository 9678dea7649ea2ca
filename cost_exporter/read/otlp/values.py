"""Read one attribute value as what it should be: a text, a count, a measure, a flag.

What is on the wire is not always what the name promises: numbers come as strings (LiteLLM), nulls as empty
values (Traceloop), counts as doubles. A value is read as far as it can be. A number that cannot be a count of
anything is *kept* (or clamped), so that pricing answers `invalid` and no sum ever sees it; so is one that is stated
and is no number at all, unless another name of the same quantity has one.
"""

import math
from decimal import Decimal
from typing import Final

from cost_exporter.domain.money import parse_decimal
from cost_exporter.domain.quantity import MAX_QUANTITY, Quantity
from cost_exporter.read.otlp.wire import AnyValue

__all__ = [
    "ID_LENGTH_MAX",
    "NOT_A_NUMBER",
    "TEXT_BYTES_MAX",
    "clean_text",
    "count_of",
    "decimal_of_float",
    "flag_of",
    "is_empty",
    "json_count",
    "json_number",
    "number_of",
    "text_of",
]

TEXT_BYTES_MAX: Final = 1024
"""Longer attribute texts are cut: names and ids are short, and what is long is content."""
ID_LENGTH_MAX: Final = 128
"""Ids up to here need no cleaning if they are printable."""
_SHORT_ENOUGH: Final = TEXT_BYTES_MAX // 4
"""Any text of this many characters is at most 1 KiB of UTF-8."""
NOT_A_NUMBER: Final = -1
"""Replaces NaN and anything that is no number: an impossible count too, but harmless to a database."""
_NOTHING: Final = frozenset({"", "none", "null", "undefined"})
"""The texts that `str` and `String` produce for a missing number."""
_CLAMP: Final = MAX_QUANTITY * 1000
"""Absurd numbers are kept as this: absurd enough to be `invalid`, small enough for 64 bits."""


def clean_text(text: str) -> str:
    """Return `text` without NUL and lone surrogates, at most 1 KiB of UTF-8: what PostgreSQL and JSON can hold."""
    if len(text) <= _SHORT_ENOUGH and text.isprintable():
        return text
    encoded = text[:TEXT_BYTES_MAX].replace("\0", "\ufffd").encode("utf-8", "replace")
    return encoded[:TEXT_BYTES_MAX].decode("utf-8", "ignore")


def text_of(value: AnyValue) -> str:
    """Return a value as clean text; "" for an empty one and for lists and maps."""
    text = value.string_value
    if text:
        if len(text) <= _SHORT_ENOUGH and text.isprintable():  # clean_text's own shortcut, without the call
            return text
        return clean_text(text)
    kind = value.WhichOneof("value")
    if kind == "int_value":
        return str(value.int_value)
    if kind == "double_value":
        return _shortest(value.double_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    return ""


def count_of(value: AnyValue) -> Quantity | None:
    """Return a value as a count; None where it is no number. Impossible counts come back as they are, clamped."""
    number = value.int_value
    if 0 < number <= MAX_QUANTITY:  # by far the most frequent case, and the cheapest
        return number
    return _whole(number_of(value))


def number_of(value: AnyValue) -> Quantity | None:
    """Return the number a value holds: doubles in their shortest decimal form, strings as written."""
    kind = value.WhichOneof("value")
    if kind == "int_value":
        return _clamped(value.int_value)
    if kind == "double_value":
        return decimal_of_float(value.double_value)
    if kind == "string_value":
        return decimal_of_text(value.string_value)
    return None


def flag_of(value: AnyValue) -> bool | None:
    """Return a value as a flag; None where it is none. Takes also the words true and false."""
    kind = value.WhichOneof("value")
    if kind == "bool_value":
        return value.bool_value
    return {"true": True, "false": False}.get(text_of(value).lower())


def is_empty(value: AnyValue) -> bool:
    """Return whether an attribute says nothing: no value, an empty text, list or map, or a word for nothing."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return not value.array_value.values
    if kind == "kvlist_value":
        return not value.kvlist_value.values
    return kind is None or (kind == "string_value" and value.string_value.strip().lower() in _NOTHING)


def decimal_of_float(number: float) -> Decimal | int:
    """Return a double as the shortest decimal that means it: 5.35, not 5.3499999999999996."""
    if math.isnan(number):
        return NOT_A_NUMBER
    if math.isinf(number):
        return _CLAMP if number > 0 else -_CLAMP
    return _clamped(Decimal(repr(number)))


def decimal_of_text(text: str) -> Decimal | int | None:
    """Return the number a text holds, or None."""
    try:
        return _clamped(parse_decimal(text.strip()))
    except ValueError:
        return None


def json_number(number: object) -> Quantity | None:
    """Return the number at some place of a parsed JSON text, or None."""
    if isinstance(number, bool):
        return None
    if isinstance(number, int):
        return _clamped(number)
    if isinstance(number, float):
        return decimal_of_float(number)
    return decimal_of_text(number) if isinstance(number, str) else None


def json_count(number: object) -> Quantity | None:
    """Return the count at some place of a parsed JSON text, or None."""
    return _whole(json_number(number))


def _whole(number: Quantity | None) -> Quantity | None:
    """Return 1200.0 as 1200; a real fraction stays one and is judged later."""
    if isinstance(number, Decimal) and number == number.to_integral_value():
        return int(number)
    return number


def _clamped(number: Quantity) -> Quantity:
    return max(-_CLAMP, min(_CLAMP, number))


def _shortest(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)
