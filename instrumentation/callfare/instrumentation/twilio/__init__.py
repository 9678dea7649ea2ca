"""Twilio: each leg of a telephone call, its seconds, and its price when Twilio has worked it out. SDK 7 to 9.

What is recorded
----------------
- `client.calls.create(...)`: a `phone_call` span with the call SID. Nothing is owed yet.
- `client.calls(sid).fetch()` and `.update()`: once the leg has ended, a span with its seconds, and with Twilio's
  price as soon as the answer has one. All spans of a leg carry the same `telephony.call.id`: the service bills one
  and amends it when the price comes. Listing calls records nothing: it may show other applications' calls.
- Inbound calls never touch the SDK. Give Twilio a status callback and hand its form to `record_call_status`:

      from callfare.instrumentation.twilio import bind_call, record_call_status

      @app.post("/twilio/status")                # any framework
      async def status(request):
          record_call_status(await request.form())

  A leg belongs to the workflow in which `create` was called or, for inbound calls, in which `bind_call(call_sid)`
  was called (the SID is in the first webhook and in a media stream's `start` event). Otherwise the span is written
  in the current context. The callback states no price: `client.calls(sid).fetch()` some minutes later brings it.

Twilio rounds every leg up to whole minutes; the price book does that, the span has the seconds. The model is
`voice-` and the direction (`voice-inbound`, `voice-outbound-api`), or `client` or `sip`. No telephone number is
read, so none is on any span.

Not recorded: messages, recordings, numbers, and the surcharge on media streams, of which the SDK learns nothing.

Wrapped: `CallList.create`, `CallContext.{fetch,update}` of `twilio.rest.api.v2010.account.call`, their `_async`,
`_with_http_info` and `_with_http_info_async` forms.
"""

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from opentelemetry import trace
from opentelemetry.trace import TracerProvider

from callfare import environment
from callfare.guard import quietly
from callfare.instrumentation.twilio import _legs, _usage, _wrap
from callfare.instrumentation.twilio.package import (
    _instruments,  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
)
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["TwilioInstrumentor", "bind_call", "record_call_status"]

_MODULE = "twilio.rest.api.v2010.account.call"
_WITH_HTTP_INFO = "9.10"
"""Where the `_with_http_info` forms are expected at the latest."""


class TwilioInstrumentor(CallfareInstrumentor):
    """Records the legs of calls that Twilio's SDK places or asks about."""

    name: ClassVar[str] = "twilio"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = tuple(
        wrap
        for method, make, make_async in (
            ("CallList.create", _wrap.create, _wrap.async_create),
            ("CallContext.fetch", _wrap.news, _wrap.async_news),
            ("CallContext.update", _wrap.news, _wrap.async_news),
        )
        for wrap in (
            Wrap(_MODULE, method, make),
            Wrap(_MODULE, f"{method}_async", make_async, since="8"),
            Wrap(_MODULE, f"{method}_with_http_info", make, since=_WITH_HTTP_INFO),
            Wrap(_MODULE, f"{method}_with_http_info_async", make_async, since=_WITH_HTTP_INFO),
        )
    )


def record_call_status(form: Mapping[str, Any], *, tracer_provider: TracerProvider | None = None) -> bool:
    """Record a leg from the form of Twilio's status callback; True where a span was written.

    Only the end of a leg is recorded (`completed`, `busy`, `no-answer`, `failed`, `canceled`): other statuses, a
    repeated callback and a form that is none of Twilio's return False. Raises nothing. Check Twilio's signature
    before, as for any webhook.
    """
    if environment.is_disabled():
        return False
    return bool(_record_form(form, tracer_provider))


@quietly
def _record_form(form: Mapping[str, Any], provider: TracerProvider | None) -> bool | None:
    tracer = trace.get_tracer("callfare.instrumentation.twilio", tracer_provider=provider)
    return _legs.record(tracer, _usage.leg_of_form(form, time.time_ns()))


@quietly
def bind_call(call_sid: str) -> None:
    """Let the spans of this leg join the workflow that is current now."""
    _legs.bind(call_sid)
