"""What Twilio says about a message, from its API or its webhooks. Pure: no OpenTelemetry, no SDK.

A message is billed by its segments, which a Messaging Service knows only when it is sent; with media, or over another
channel, by the message. A message that failed was not sent. Texts and numbers are not read.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from callfare import attributes as names
from callfare.calls.span import Amount, AttributeValue, CallRequest
from callfare.instrumentation.twilio import _words
from callfare.instrumentation.twilio._bill import PROVIDER, bill

__all__ = ["MESSAGES", "Message", "message_of_form", "message_of_instance", "request_of_create"]

MESSAGES = f"{names.USAGE_PREFIX}messages"
_NEVER_SENT = frozenset({"failed", "canceled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message, as far as it is known."""

    call_id: str
    """The message's SID."""
    status: str
    model: str
    """What the price list calls it: `sms-outbound`, `mms-inbound`, `sms-outbound-44`, `whatsapp-outbound`."""
    segment_count: int | None
    """Billed messages; None while nobody knows."""
    price: Decimal | None
    currency: str
    started_at_unix_ns: int | None

    @property
    def is_final(self) -> bool:
        """Whether there is something to bill, or to know that nothing is."""
        return bool(self.call_id) and (self.segment_count is not None or self.price is not None)

    @property
    def facts(self) -> tuple[object, ...]:
        """What is reported only once: a message has many statuses, and one price."""
        return self.segment_count, self.price

    def request(self) -> CallRequest:
        """The span of a message of which the bill is known, or part of it."""
        quantities: dict[str, Amount] = {} if self.segment_count is None else {MESSAGES: self.segment_count}
        attributes: dict[str, AttributeValue] = {names.MESSAGE_ID: self.call_id, names.MESSAGE_STATUS: self.status}
        return bill("text_message", self.model, quantities, attributes, price=self.price, currency=self.currency)


def message_of_instance(message: Any) -> Message:
    """Read a `MessageInstance` of the SDK."""
    status = _words.text(getattr(message, "status", None))
    to, from_ = getattr(message, "to", None), getattr(message, "from_", None)
    is_inbound = _words.text(getattr(message, "direction", None)) == "inbound"
    has_media = bool(_words.count(getattr(message, "num_media", None)))
    model = _model(to, from_, is_inbound=is_inbound, has_media=has_media)
    return Message(
        call_id=_words.text(getattr(message, "sid", None)),
        status=status,
        model=model,
        segment_count=_segment_count(getattr(message, "num_segments", None), status, model),
        price=_words.positive_price(getattr(message, "price", None)),
        currency=_words.text(getattr(message, "price_unit", None)).upper(),
        started_at_unix_ns=_words.unix_ns(getattr(message, "date_created", None)),
    )


def message_of_form(form: object, now_unix_ns: int) -> Message:
    """Read the form of the webhook of an inbound message, or of a status callback, which has no segments."""
    fields = _words.form_of(form)
    status = _words.text(fields.get("MessageStatus")) or _words.text(fields.get("SmsStatus"))
    has_media = bool(_words.count(fields.get("NumMedia")))
    is_inbound = status in {"received", "receiving"}
    model = _model(fields.get("To"), fields.get("From"), is_inbound=is_inbound, has_media=has_media)
    return Message(
        call_id=_words.text(fields.get("MessageSid")) or _words.text(fields.get("SmsSid")),
        status=status,
        model=model,
        segment_count=_segment_count(fields.get("NumSegments"), status, model),
        price=None,
        currency="",
        started_at_unix_ns=now_unix_ns,
    )


def request_of_create(to: object, from_: object, *, has_media: bool) -> CallRequest:
    """The span of a message that is being sent."""
    model = _model(to, from_, is_inbound=False, has_media=has_media)
    return CallRequest(operation="text_message", provider=PROVIDER, model=model)


def _model(to: object, from_: object, *, is_inbound: bool, has_media: bool) -> str:
    channel = _words.channel_of(to, from_) or ("mms" if has_media else "sms")
    destination = _words.destination_of(to, is_inbound=False)  # toll-free numbers cost no more
    return "-".join(part for part in (channel, "inbound" if is_inbound else "outbound", destination) if part)


def _segment_count(stated: object, status: str, model: str) -> int | None:
    if status in _NEVER_SENT:
        return 0
    segments = _words.count(stated) or None  # 0: not yet known
    return segments if segments is None or model.startswith("sms-") else 1
