"""Twilio: calls leg by leg, and messages: seconds, segments, and the price when Twilio has worked it out. SDK 7 to 9.

What is recorded
----------------
- `client.calls.create(...)`: a `phone_call` span with the call SID. Nothing is owed yet.
- `client.calls(sid).fetch()` and `.update()`: once the leg has ended, a span with its seconds, and with Twilio's
  price as soon as the answer has one. All spans of a leg carry the same `telephony.call.id`: the service bills one
  and amends it when the price comes. Listing calls records nothing: it may show other applications' calls.
- `client.messages.create(...)`, `.fetch()`, `.update()`: a `text_message` span with the segments, then the price,
  under one `telephony.message.id` in the same way. A message sent through a Messaging Service has segments only
  later: it is `no_usage` until it is fetched.
- Inbound calls and messages never touch the SDK. Give Twilio a status callback and hand its form to
  `record_call_status`, and the form of the messages' webhook to `record_message_status`:

      from callfare.instrumentation.twilio import bind_call, record_call_status

      @app.post("/twilio/status")                # any framework
      async def status(request):
          record_call_status(await request.form())

  A leg belongs to the workflow in which `create` was called or, for inbound calls, in which `bind_call(call_sid)`
  was called (the SID is in the first webhook and in a media stream's `start` event). Otherwise the span is written
  in the current context. The callback states no price: `client.calls(sid).fetch()` some minutes later brings it.

Twilio rounds every leg up to whole minutes; the price book does that, the span has the seconds. The model is
`voice-` and the direction (`voice-inbound`, `voice-outbound-api`), or `client` or `sip`; `sms-outbound`,
`mms-inbound`, `whatsapp-outbound`. Its price depends on the country that is called, so outside North America the
calling code follows (`voice-outbound-api-44`), as `tollfree` follows the inbound leg to such a number: the price list
knows the United States, and a foreign leg is unpriced until an operator's row or Twilio's price. Of an address only
its kind and country are read: no telephone number is on any span.

Not recorded: recordings, numbers, and the surcharge on media streams, of which the SDK learns nothing; Twilio's fee
for a message that failed.

Wrapped: `CallList.create`, `CallContext.{fetch,update}` of `twilio.rest.api.v2010.account.call`, the same three of
`...account.message`, and their `_async`, `_with_http_info` and `_with_http_info_async` forms.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from opentelemetry import trace
from opentelemetry.trace import TracerProvider

from callfare import environment
from callfare.guard import quietly
from callfare.instrumentation.twilio import _legs, _running, _wrap
from callfare.instrumentation.twilio._messages import message_of_form
from callfare.instrumentation.twilio._usage import leg_of_form
from callfare.instrumentation.twilio.package import (
    _instruments,  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
)
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["TwilioInstrumentor", "bind_call", "record_call_status", "record_message_status"]

Form = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
_CALL, _MESSAGE = "twilio.rest.api.v2010.account.call", "twilio.rest.api.v2010.account.message"
_WITH_HTTP_INFO = "9.10"
"""Where the `_with_http_info` forms are expected at the latest."""


class TwilioInstrumentor(CallfareInstrumentor):
    """Records the legs of calls, and the messages, that Twilio's SDK places or asks about."""

    name: ClassVar[str] = "twilio"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = tuple(
        wrap
        for module, method, make, make_async in (
            (_CALL, "CallList.create", _wrap.create, _wrap.async_create),
            (_CALL, "CallContext.fetch", _wrap.news, _wrap.async_news),
            (_CALL, "CallContext.update", _wrap.news, _wrap.async_news),
            (_MESSAGE, "MessageList.create", _wrap.send, _wrap.async_send),
            (_MESSAGE, "MessageContext.fetch", _wrap.message_news, _wrap.async_message_news),
            (_MESSAGE, "MessageContext.update", _wrap.message_news, _wrap.async_message_news),
        )
        for wrap in (
            Wrap(module, method, make),
            Wrap(module, f"{method}_async", make_async, since="8"),
            Wrap(module, f"{method}_with_http_info", make, since=_WITH_HTTP_INFO),
            Wrap(module, f"{method}_with_http_info_async", make_async, since=_WITH_HTTP_INFO),
        )
    )


def record_call_status(form: Form, *, tracer_provider: TracerProvider | None = None) -> bool:
    """Record a leg from the form of Twilio's status callback; True where a span was written.

    The form may be any mapping or pairs, with lists or bytes in it. Only the end of a leg is recorded (`completed`,
    `busy`, `no-answer`, `failed`, `canceled`): other statuses, a repeated callback and a form that is none of Twilio's
    return False. Raises nothing. Check Twilio's signature before, as for any webhook.
    """
    return _record_form(leg_of_form, form, tracer_provider)


def record_message_status(form: Form, *, tracer_provider: TracerProvider | None = None) -> bool:
    """Record an inbound message from its webhook's form, or that one was never sent; True where a span was written.

    A status callback of a sent message has nothing about its price and returns False, as do repetitions.
    """
    return _record_form(message_of_form, form, tracer_provider)


def _record_form(
    read: Callable[[object, int], _legs.StatusUpdate], form: Form, provider: TracerProvider | None
) -> bool:
    return not environment.is_disabled() and bool(_record(read, form, provider))


@quietly
def _record(
    read: Callable[[object, int], _legs.StatusUpdate], form: Form, provider: TracerProvider | None
) -> bool | None:
    tracer = trace.get_tracer("callfare.instrumentation.twilio", tracer_provider=provider)
    return _legs.record(tracer, read(form, time.time_ns()))


@quietly
def bind_call(call_sid: str) -> None:
    """Let the spans of this leg, or message, join the workflow that is current now."""
    _legs.bind(call_sid)
    _running.follow_inbound(call_sid)
