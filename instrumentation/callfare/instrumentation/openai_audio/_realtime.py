"""The realtime API: one span per model response, one per transcribed utterance.

Every event passes `parse_event`, whichever way the application receives. `response.done` states the tokens of
one response, earlier turns included as input, also when it was cut off; the transcription of the caller's
speech is billed apart, at the price of its own model.
"""

import time
import weakref
from decimal import Decimal
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.guard import quietly
from callfare.instrumentation.openai_audio._usage import field, usage_quantities
from callfare.span import Amount, Request, open_call
from callfare.wrapping import Wrapper

__all__ = ["parse_event"]


class _Conversation:
    """What one connection told so far."""

    def __init__(self) -> None:
        self.model = ""
        self.transcription_model = ""
        self.response_started_at_unix_ns: dict[str, int] = {}


def parse_event(tracer: Tracer) -> Wrapper:
    """Wrapper of `RealtimeConnection.parse_event` and its async twin, which is synchronous as well."""
    conversations: weakref.WeakKeyDictionary[Any, _Conversation] = weakref.WeakKeyDictionary()

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        event = wrapped(*args, **kwargs)
        _see(tracer, conversations, instance, event)
        return event

    return wrapper


@quietly
def _see(tracer: Tracer, conversations: Any, connection: Any, event: Any) -> None:
    kind = field(event, "type")
    if kind in {"session.created", "session.updated"}:
        _learn_models(conversations.setdefault(connection, _Conversation()), field(event, "session"))
    elif kind == "response.created":
        started = conversations.setdefault(connection, _Conversation()).response_started_at_unix_ns
        started[str(field(field(event, "response"), "id"))] = time.time_ns()
    elif kind == "response.done":
        _record_response(tracer, conversations.setdefault(connection, _Conversation()), field(event, "response"))
    elif kind == "conversation.item.input_audio_transcription.completed":
        _record_transcription(tracer, conversations.setdefault(connection, _Conversation()), event)


def _learn_models(conversation: _Conversation, session: Any) -> None:
    conversation.model = field(session, "model") or conversation.model
    heard = field(field(field(session, "audio"), "input"), "transcription")
    conversation.transcription_model = field(heard, "model") or conversation.transcription_model


def _record_response(tracer: Tracer, conversation: _Conversation, response: Any) -> None:
    identity = str(field(response, "id") or "")
    request = Request(
        operation="chat",
        provider="openai",
        model=conversation.model,
        quantities=_tokens(field(response, "usage")),
        source="vendor_body",
        attributes={names.RESPONSE_ID: identity, names.REQUEST_STREAM: True},
    )
    started_at = conversation.response_started_at_unix_ns.pop(identity, None)
    call = open_call(tracer, request, start_time_unix_ns=started_at)
    status = field(response, "status")
    if status == "cancelled":
        call.interrupt()
    elif status == "failed":
        call.has_output = True
        call.fail(_ResponseFailed())
    else:
        call.end()


class _ResponseFailed(Exception):
    """Names the kind of failure on the span; never raised."""


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


def _record_transcription(tracer: Tracer, conversation: _Conversation, event: Any) -> None:
    request = Request(
        operation="speech_to_text",
        provider="openai",
        model=conversation.transcription_model,
        quantities=usage_quantities(event, output_is_audio=False),
        source="vendor_body",
        attributes={names.RESPONSE_ID: str(field(event, "item_id") or ""), names.REQUEST_STREAM: True},
    )
    call = open_call(tracer, request)
    call.content("transcript", str(field(event, "transcript") or ""))
    call.end()
