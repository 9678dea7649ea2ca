"""What Twilio's API and webhooks say alike of calls and messages. Pure: no OpenTelemetry, no SDK.

Values are strings, webhooks' forms come in any shape a framework gives them, and prices are negative: what was taken
from the account. Of an address only its kind and country are read, never kept whole.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any, cast

__all__ = ["channel_of", "count", "destination_of", "form_of", "positive_price", "text", "timestamp_unix_ns", "unix_ns"]

_COUNTRY = re.compile(r"\+(7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9]\d\d)\d")
"""Calling codes of E.164, but for the North American 1."""
_TOLL_FREE = re.compile(r"\+1(800|833|844|855|866|877|888)\d")
_SCHEME = re.compile(r"([A-Za-z]{2,20}):")
"""Only alphabetic characters: any other text before a colon is part of an address."""
_COUNT_DIGITS_MAX = 9
"""Webhooks come from outside: a greater number is no length of a call, and could not be exported either."""


def form_of(form: object) -> dict[str, Any]:
    """A webhook's form as a plain dict: from a mapping, pairs, with lists as `parse_qs` makes them, or bytes."""
    pairs = form.items() if isinstance(form, Mapping) or hasattr(form, "items") else form  # pyright: ignore[reportAttributeAccessIssue]
    if not isinstance(pairs, Iterable) or isinstance(pairs, (str, bytes)):
        return {}
    fields: dict[str, Any] = {}
    for pair in cast("Iterable[Any]", pairs):
        if isinstance(pair, (tuple, list)) and len(cast("tuple[Any, ...]", pair)) == 2:  # noqa: PLR2004 - a pair
            name, value = cast("tuple[Any, Any]", pair)
            fields[_decoded(name)] = _decoded(_first(value))
    return fields


def _first(value: Any) -> Any:
    return (value[0] if value else None) if isinstance(value, (list, tuple)) else value


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def text(value: Any) -> str:
    """Strings, and the SDK's enumerations, which are strings as well."""
    return str(getattr(value, "value", value)) if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """A whole number, as Twilio writes it; None for anything else."""
    digits = str(value).strip()
    return int(digits) if digits.isdecimal() and len(digits) <= _COUNT_DIGITS_MAX else None


def positive_price(price: Any) -> Decimal | None:
    """What was taken from the account; None until Twilio has worked it out."""
    if price in (None, ""):
        return None
    try:
        amount = abs(Decimal(str(price)))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def channel_of(*ends: object) -> str:
    """The scheme of the first address that has one: `client:alice`, `sip:bob@example.com`, `whatsapp:+1555...`."""
    for end in ends:
        scheme = _SCHEME.match(end) if isinstance(end, str) else None
        if scheme:
            return scheme[1].lower()
    return ""


def destination_of(to: object, *, is_inbound: bool) -> str:
    """What the price depends on besides the direction: a foreign country's calling code, or that a number is toll-free.

    "" for a number of North America, and if it cannot be determined.
    """
    number = to.rpartition(":")[2] if isinstance(to, str) else ""
    if is_inbound and _TOLL_FREE.match(number):
        return "tollfree"
    country = _COUNTRY.match(number)
    return country[1] if country else ""


def unix_ns(moment: object) -> int | None:
    """A moment that the SDK has read."""
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        return None
    return int(moment.timestamp()) * 1_000_000_000


def timestamp_unix_ns(stated: object) -> int | None:
    """When a webhook says that it was sent: it may have waited in a queue since."""
    try:
        moment = parsedate_to_datetime(text(stated))
    except (ValueError, TypeError):
        return None
    return unix_ns(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
