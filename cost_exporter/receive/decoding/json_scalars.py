"""The single values of OTLP/JSON, in all the forms in which exporters write them."""

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any, Final, cast

__all__ = ["TooDeep", "enum_number", "hex_id", "set_value", "text", "unsigned"]

_DEPTH_MAX: Final = 47
"""Nested arrays or lists within a value: as deep as protobuf's decoder goes."""
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_ID_LENGTHS_BASE64: Final = {24: "==", 12: "="}


class TooDeep(Exception):
    """A value is nested deeper than protobuf could carry it. Never leaves this package."""


def text(given: Any) -> str:
    """Return the string with half surrogate pairs replaced by U+FFFD; "" for anything that is no string."""
    if not isinstance(given, str):
        return ""
    if given.isascii():
        return given
    return given.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def hex_id(given: Any) -> bytes:
    """Return the id: hex as OTLP says, base64 where protobuf's JSON mapping wrote it; b"" if it is neither."""
    if not isinstance(given, str):
        return b""
    try:
        padding = _ID_LENGTHS_BASE64.get(len(given))
        if padding and given.endswith(padding):
            return base64.b64decode(given, validate=True)
        return bytes.fromhex(given)
    except (ValueError, binascii.Error):
        return b""


def enum_number(given: Any, prefix: str, names: tuple[str, ...]) -> int:
    """Return the number of an enum that is written as a number or by name; 0 if it is neither."""
    if isinstance(given, str):
        name = given.removeprefix(prefix)
        return names.index(name) if name in names else unsigned(given, 31)
    return unsigned(given, 31)


def unsigned(given: Any, bits: int) -> int:
    """Return a number written as number, string or {low, high}; 0 where it is none or does not fit."""
    if isinstance(given, dict):  # protobuf.js's Long, sent by old JavaScript exporters
        long = cast("dict[str, Any]", given)
        number = _whole(long.get("high")) % 2**32 * 2**32 + _whole(long.get("low")) % 2**32
    else:
        number = _whole(given)
    return number if 0 <= number < 2**bits else 0


def _whole(given: Any) -> int:
    try:
        if isinstance(given, int | str):
            return int(given)
        return int(given) if isinstance(given, float) and math.isfinite(given) else 0
    except ValueError:
        return 0


def set_value(value: Any, given: Any, depth: int = 0) -> None:
    """Set an AnyValue from its JSON form. Raises `TooDeep`. What is not a value stays empty."""
    if depth > _DEPTH_MAX:
        raise TooDeep
    if not isinstance(given, dict):
        return
    for name, content in cast("dict[str, Any]", given).items():
        kind = _KINDS.get(name)  # unknown fields must be ignored
        if kind in _SCALAR_SETTERS:
            _SCALAR_SETTERS[kind](value, content)
        elif kind == "array":
            _set_array(value.array_value, content, depth)
        elif kind == "list":
            _set_list(value.kvlist_value, content, depth)


_KINDS: Final = {
    "stringValue": "string",
    "boolValue": "bool",
    "intValue": "int",
    "doubleValue": "double",
    "bytesValue": "bytes",
    "arrayValue": "array",
    "kvlistValue": "list",
    "string_value": "string",
    "bool_value": "bool",
    "int_value": "int",
    "double_value": "double",
    "bytes_value": "bytes",
    "array_value": "array",
    "kvlist_value": "list",
}


def _set_string(value: Any, content: Any) -> None:
    if isinstance(content, str):
        value.string_value = text(content)


def _set_bool(value: Any, content: Any) -> None:
    value.bool_value = content is True or content == "true"


def _set_int(value: Any, content: Any) -> None:
    """Set an integer. What no int64 holds stays visible as a double: an absurd count must not vanish."""
    number = _int_or_double(content)
    if isinstance(number, int):
        value.int_value = number
    else:
        value.double_value = number


def _set_double(value: Any, content: Any) -> None:
    value.double_value = _double(content)


def _set_bytes(value: Any, content: Any) -> None:
    value.bytes_value = _bytes(content)


_SCALAR_SETTERS: Final[dict[str | None, Callable[[Any, Any], None]]] = {
    "string": _set_string,
    "bool": _set_bool,
    "int": _set_int,
    "double": _set_double,
    "bytes": _set_bytes,
}


def _int_or_double(content: Any) -> int | float:
    number = _double(content)
    if not math.isfinite(number) or not number.is_integer():
        return number
    try:
        whole = int(content)
    except ValueError:  # "1e3" is a number, but not an integer's text
        whole = int(number)
    return whole if _INT64_MIN <= whole <= _INT64_MAX else number


def _double(content: Any) -> float:
    """Return the number; NaN for null, which is how JavaScript's JSON writes NaN and infinity, and for no number."""
    try:
        return float(content)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return math.nan


def _bytes(content: Any) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (TypeError, ValueError):
        return b""


def _set_array(array: Any, content: Any, depth: int) -> None:
    array.SetInParent()
    for each in _values(content):
        set_value(array.values.add(), each, depth + 1)


def _set_list(pairs: Any, content: Any, depth: int) -> None:
    pairs.SetInParent()
    for each in _values(content):
        if isinstance(each, dict) and isinstance(key := cast("dict[str, Any]", each).get("key"), str):
            set_value(pairs.values[text(key)], each.get("value"), depth + 1)


def _values(content: Any) -> list[Any]:
    values = cast("dict[str, Any]", content).get("values") if isinstance(content, dict) else None
    return cast("list[Any]", values) if isinstance(values, list) else []
