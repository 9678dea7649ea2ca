"""What Twilio says about a call, from its API or its status callbacks. Pure: no OpenTelemetry, no SDK.

A leg has an id (the call SID), a direction, a status, a duration once it ended, and minutes later a price: a
negative decimal string, what was taken from the account. Of telephone numbers only the kind and country are read.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from callfare import attributes as names
from callfare.calls.span import Amount, AttributeValue, CallRequest
from callfare.instrumentation.twilio import _words
from callfare.instrumentation.twilio._bill import PROVIDER, bill

__all__ = ["Leg", "leg_of_call", "leg_of_form", "request_of_create", "request_of_inbound"]

_ENDED_UNCONNECTED = frozenset({"busy", "no-answer", "failed", "canceled"})  # no duration, no charge
_ENDED = _ENDED_UNCONNECTED | {"completed"}
_KINDS = frozenset({"client", "sip"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One leg of a call, as far as it is known."""

    call_id: str
    parent_id: str
    direction: str
    status: str
    model: str
    """What the price list calls the leg."""
    seconds: int | None
    price: Decimal | None
    """Positive; None until Twilio has worked it out."""
    currency: str
    started_at_unix_ns: int | None

    @property
    def is_final(self) -> bool:
        """Whether there is something to bill, or to know that nothing is."""
        return bool(self.call_id) and self.status in _ENDED

    @property
    def facts(self) -> tuple[object, ...]:
        """What is reported only once."""
        return self.status, self.seconds, self.price

    def request(self) -> CallRequest:
        """The span of a leg that has ended."""
        quantities: dict[str, Amount] = {}
        if self.seconds is not None:
            quantities[names.CALL_DURATION_SECONDS] = self.seconds
        attributes: dict[str, AttributeValue] = {
            names.CALL_ID: self.call_id,
            names.CALL_PARENT_ID: self.parent_id,
            names.CALL_DIRECTION: self.direction,
            names.CALL_STATUS: self.status,
        }
        return bill("phone_call", self.model, quantities, attributes, price=self.price, currency=self.currency)


def leg_of_call(call: Any) -> Leg:
    """Read a `CallInstance` of the SDK."""
    status = _words.text(getattr(call, "status", None))
    direction = _words.text(getattr(call, "direction", None))
    return Leg(
        call_id=_words.text(getattr(call, "sid", None)),
        parent_id=_words.text(getattr(call, "parent_call_sid", None)),
        direction=direction,
        status=status,
        model=_model(direction, getattr(call, "to", None), getattr(call, "_from", None)),
        seconds=_seconds(getattr(call, "duration", None), status),
        price=_words.positive_price(getattr(call, "price", None)),
        currency=_words.text(getattr(call, "price_unit", None)).upper(),
        started_at_unix_ns=_words.unix_ns(getattr(call, "start_time", None)),
    )


def leg_of_form(form: object, now_unix_ns: int) -> Leg:
    """Read the form of a status callback, in any shape a framework gives it."""
    fields = _words.form_of(form)
    status, direction = _words.text(fields.get("CallStatus")), _words.text(fields.get("Direction"))
    seconds = _seconds(fields.get("CallDuration"), status)
    ended_at = min(_words.timestamp_unix_ns(fields.get("Timestamp")) or now_unix_ns, now_unix_ns)
    return Leg(
        call_id=_words.text(fields.get("CallSid")),
        parent_id=_words.text(fields.get("ParentCallSid")),
        direction=direction,
        status=status,
        model=_model(direction, fields.get("To"), fields.get("From")),
        seconds=seconds,
        price=_words.positive_price(fields.get("Price")),
        currency=_words.text(fields.get("PriceUnit")).upper(),
        started_at_unix_ns=ended_at - (seconds or 0) * 1_000_000_000,
    )


def request_of_create(to: object, from_: object) -> CallRequest:
    """The span of a call that is being placed: nothing is owed yet."""
    direction = "outbound-api"
    return CallRequest(
        operation="phone_call",
        provider=PROVIDER,
        model=_model(direction, to, from_),
        attributes={names.CALL_DIRECTION: direction},
        meter=names.CALL_DURATION_SECONDS,
    )


def request_of_inbound() -> CallRequest:
    """A call that came in, of which nothing is known but its id."""
    return CallRequest(
        operation="phone_call",
        provider=PROVIDER,
        model=_model("inbound", None, None),
        attributes={names.CALL_DIRECTION: "inbound"},
        meter=names.CALL_DURATION_SECONDS,
    )


def _model(direction: str, to: object, from_: object) -> str:
    """What the price list calls the leg: `voice-inbound`, `voice-inbound-tollfree`, `voice-outbound-api-44`, `sip`."""
    kind = _words.channel_of(to, from_)
    if kind in _KINDS:
        return kind
    if not direction:
        return ""
    destination = _words.destination_of(to, is_inbound=direction == "inbound")
    return "-".join(part for part in ("voice", direction, destination) if part)


def _seconds(duration: object, status: str) -> int | None:
    if status in _ENDED_UNCONNECTED:
        return 0
    return _words.count(duration) if status in _ENDED else None
