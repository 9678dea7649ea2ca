"""What Twilio says about a call, from its API or its status callbacks. Pure: no OpenTelemetry, no SDK.

A leg has an id (the call SID), a direction, a status, a duration once it ended, and minutes later a price: a
negative decimal string, what was taken from the account. Telephone numbers are not read, only their kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from callfare import attributes as names
from callfare.span import Amount, AttributeValue, Request

__all__ = ["PROVIDER", "Leg", "leg_of_call", "leg_of_form", "request_of", "request_of_create"]

PROVIDER = "twilio"
_ENDED_UNCONNECTED = frozenset({"busy", "no-answer", "failed", "canceled"})  # no duration, no charge
_ENDED = _ENDED_UNCONNECTED | {"completed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One leg of a call, as far as it is known."""

    call_id: str
    parent_id: str
    direction: str
    status: str
    kind: str
    """`client`, `sip` or "" for a telephone line."""
    seconds: int | None
    price: Decimal | None
    """Positive; None until Twilio has worked it out."""
    currency: str
    started_at_unix_ns: int | None

    @property
    def has_ended(self) -> bool:
        """Whether there is something to bill, or to know that nothing is."""
        return bool(self.call_id) and self.status in _ENDED


def leg_of_call(call: Any) -> Leg:
    """Read a `CallInstance` of the SDK."""
    started_at = getattr(call, "start_time", None)
    status = _text(getattr(call, "status", None))
    return Leg(
        call_id=_text(getattr(call, "sid", None)),
        parent_id=_text(getattr(call, "parent_call_sid", None)),
        direction=_text(getattr(call, "direction", None)),
        status=status,
        kind=_kind(getattr(call, "to", None), getattr(call, "_from", None)),
        seconds=_seconds(getattr(call, "duration", None), status),
        price=_price(getattr(call, "price", None)),
        currency=_text(getattr(call, "price_unit", None)).upper(),
        started_at_unix_ns=_unix_ns(started_at) if isinstance(started_at, datetime) else None,
    )


def leg_of_form(form: Mapping[str, Any], now_unix_ns: int) -> Leg:
    """Read the form of a status callback. Values may be lists, as `urllib.parse.parse_qs` makes them."""
    said = {name: _first(value) for name, value in form.items()}
    status = _text(said.get("CallStatus"))
    seconds = _seconds(said.get("CallDuration"), status)
    return Leg(
        call_id=_text(said.get("CallSid")),
        parent_id=_text(said.get("ParentCallSid")),
        direction=_text(said.get("Direction")),
        status=status,
        kind=_kind(said.get("To"), said.get("From")),
        seconds=seconds,
        price=_price(said.get("Price")),
        currency=_text(said.get("PriceUnit")).upper(),
        # The callback comes as the call ends.
        started_at_unix_ns=now_unix_ns - (seconds or 0) * 1_000_000_000,
    )


def request_of(leg: Leg) -> Request:
    """The span of a leg that has ended."""
    quantities: dict[str, Amount] = {}
    if leg.seconds is not None:
        quantities[names.CALL_DURATION_SECONDS] = leg.seconds
    attributes: dict[str, AttributeValue] = {
        names.CALL_ID: leg.call_id,
        names.CALL_PARENT_ID: leg.parent_id,
        names.CALL_DIRECTION: leg.direction,
        names.CALL_STATUS: leg.status,
    }
    if leg.price is not None:
        attributes[names.VENDOR_COST] = format(leg.price, "f")
        attributes[names.VENDOR_COST_CURRENCY] = leg.currency or "USD"
    return Request(
        operation="phone_call",
        provider=PROVIDER,
        model=_model(leg.kind, leg.direction),
        source="vendor_body",
        quantities=quantities,
        attributes=attributes,
    )


def request_of_create(to: object, from_: object) -> Request:
    """The span of a call that is being placed: nothing is owed yet."""
    direction = "outbound-api"
    return Request(
        operation="phone_call",
        provider=PROVIDER,
        model=_model(_kind(to, from_), direction),
        attributes={names.CALL_DIRECTION: direction},
    )


def _model(kind: str, direction: str) -> str:
    """What the price list calls the leg: `voice-inbound`, `voice-outbound-api`, `client`, `sip`."""
    if kind:
        return kind
    return f"voice-{direction}" if direction else ""


def _kind(*ends: object) -> str:
    """From the address's scheme alone: `client:alice`, `sip:bob@example.com`, `+1555...`."""
    for end in ends:
        scheme = end.split(":", 1)[0].lower() if isinstance(end, str) and ":" in end else ""
        if scheme in {"client", "sip"}:
            return scheme
    return ""


def _seconds(duration: object, status: str) -> int | None:
    if status in _ENDED_UNCONNECTED:
        return 0
    text = str(duration)
    return int(text) if text.isdecimal() and status in _ENDED else None


def _price(price: object) -> Decimal | None:
    if price in (None, ""):
        return None
    try:
        return abs(Decimal(str(price)))
    except InvalidOperation:
        return None


def _unix_ns(moment: datetime) -> int | None:
    return None if moment.tzinfo is None else int(moment.timestamp()) * 1_000_000_000


def _first(value: Any) -> Any:
    return (value[0] if value else None) if isinstance(value, (list, tuple)) else value


def _text(value: Any) -> str:
    """Strings, and the SDK's enumerations, which are strings as well."""
    return str(getattr(value, "value", value)) if isinstance(value, str) else ""
