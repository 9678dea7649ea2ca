"""The realtime API, as it is and as it was in beta: one span per model response, one per transcribed utterance.

`response.done` states the tokens of one response, earlier turns included as input, also when it was cut off; the
transcription of the caller's speech is billed apart, at the price of its own model.
"""

import time
from decimal import Decimal
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.admission import Hold, Offer
from callfare.calls.span import Amount, CallRequest, open_call
from callfare.instrumentation.openai_audio._opening import conversation_request
from callfare.instrumentation.openai_audio._usage import field, usage_quantities

__all__ = ["Conversation"]

_SESSION_EVENTS = frozenset(
    {"session.created", "session.updated", "transcription_session.created", "transcription_session.updated"}
)


class Conversation:
    """What one connection has reported so far."""

    def __init__(self, tracer: Tracer) -> None:
        """Begin before the first event."""
        self._tracer = tracer
        self._model = ""
        self._transcription_model = ""
        self._started_at_unix_ns: dict[str, int] = {}
        """Of the responses under way."""
        self._hold: Hold | None = None
        """What is held for the interval to come, beside what answers have cost."""

    def reserved(self, offer: Offer) -> None:
        """Keep this until the connection is closed."""
        self._hold = offer.take()

    def on_event(self, event: dict[str, Any]) -> None:
        """One event."""
        kind = event.get("type")
        if kind in _SESSION_EVENTS:
            self._learn_models(event.get("session"))
        elif kind == "response.created":
            self._started_at_unix_ns[_identity(event.get("response"))] = time.time_ns()
        elif kind == "response.done":
            self._record_response(event.get("response"))
        elif kind == "conversation.item.input_audio_transcription.completed":
            self._record_transcription(event)

    def closed(self) -> None:
        """A response that was not done states no usage: there is nothing to record."""
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.release()

    __del__ = closed

    def _learn_models(self, session: Any) -> None:
        self._model = field(session, "model") or self._model
        stated = field(field(field(session, "audio"), "input"), "transcription")
        in_beta = field(session, "input_audio_transcription")
        self._transcription_model = field(stated or in_beta, "model") or self._transcription_model

    def _record_response(self, response: Any) -> None:
        identity = _identity(response)
        request = CallRequest(
            operation="chat",
            provider="openai",
            model=self._model,
            quantities=_tokens(field(response, "usage")),
            source="vendor_body",
            attributes={names.RESPONSE_ID: identity, names.REQUEST_STREAM: True},
        )
        call = open_call(self._tracer, request, start_time_unix_ns=self._started_at_unix_ns.pop(identity, None))
        status = field(response, "status")
        if status == "cancelled":
            call.interrupt()
        elif status == "failed":
            call.has_output = True
            call.fail(_ResponseFailed())
        else:
            call.end()
        if self._hold is not None:  # what does not fit beside this answer is reported
            self._hold.extend(conversation_request(self._model).quantities)

    def _record_transcription(self, event: dict[str, Any]) -> None:
        part = event.get("content_index")
        request = CallRequest(
            operation="speech_to_text",
            provider="openai",
            model=self._transcription_model,
            quantities=usage_quantities(event, output_is_audio=False),
            source="vendor_body",
            # An item may have several parts that are transcribed, each of which is a separate call.
            attributes={
                names.RESPONSE_ID: f"{event.get('item_id') or ''}" + (f"/{part}" if part else ""),
                names.REQUEST_STREAM: True,
            },
        )
        call = open_call(self._tracer, request)
        call.content("transcript", str(event.get("transcript") or ""))
        call.end()


class _ResponseFailed(Exception):
    """Names the kind of failure on the span; never raised."""


def _identity(response: Any) -> str:
    return str(field(response, "id") or "")


def _tokens(usage: Any) -> dict[str, Amount]:
    into, out = field(usage, "input_token_details"), field(usage, "output_token_details")
    cached = field(into, "cached_tokens_details")
    stated = {
        names.INPUT_TOKENS: field(usage, "input_tokens"),
        names.OUTPUT_TOKENS: field(usage, "output_tokens"),
        names.CACHE_READ_TOKENS: field(into, "cached_tokens"),
        names.INPUT_AUDIO_TOKENS: field(into, "audio_tokens"),
        names.INPUT_IMAGE_TOKENS: field(into, "image_tokens"),
        names.CACHE_AUDIO_READ_TOKENS: field(cached, "audio_tokens"),
        names.OUTPUT_AUDIO_TOKENS: field(out, "audio_tokens"),
    }
    return {name: amount for name, amount in stated.items() if isinstance(amount, (int, Decimal))}
