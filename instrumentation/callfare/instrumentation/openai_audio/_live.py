"""The Live API and realtime translation, which are billed by the second of audio: one session a connection.

A Live session states how much audio it has had so far, time and again and at its close: totals, whose increments are
reported. What it hands on to other models is billed apart, by tokens, each answer a span of its own. Two connections
to one session (the caller's and a server's sideband) report the same under one session id, and are counted once.
A translation states nothing: the audio that is sent is counted, and is all 24 kHz, 16 bit, mono.
"""

import time
from decimal import Decimal
from typing import Any, Final

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.admission import Offer
from callfare.calls.session import Session
from callfare.calls.span import Amount, CallRequest, open_call
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly
from callfare.instrumentation.openai_audio._events import Listener, listener_of
from callfare.instrumentation.openai_audio._opening import translation_request
from callfare.instrumentation.openai_audio._usage import field

__all__ = ["Live", "Translation", "async_sending", "sending"]

_TRANSLATED_BYTES_PER_SECOND: Final = 24_000 * 2
_RESPONSE_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class Live:
    """A Live session, as one connection reports it."""

    def __init__(self, tracer: Tracer) -> None:
        """Begin before the first event."""
        self._tracer = tracer
        self._model = ""
        self._session_id = ""
        self._session: Session | None = None
        self._stated_seconds = Decimal(0)
        self._delegated_at_unix_ns: dict[str, int] = {}
        """When each response began that the session handed on."""

    def on_event(self, event: dict[str, Any]) -> None:
        """One event."""
        kind = event.get("type")
        self._learn(event.get("session"))
        if kind in ("session.started", "session.usage.updated", "session.closed"):
            self._count(event)
        elif kind == "response.event":
            self._on_response_event(event.get("event"))
        elif kind == "decision.event":
            self._record_tokens(field(event.get("event"), "decision"))

    def closed(self) -> None:
        """The application left: what was stated so far is what is known."""
        if self._session is not None:
            self._session.close()

    def _learn(self, session: Any) -> None:
        self._model = field(session, "model") or self._model
        self._session_id = field(session, "id") or self._session_id
        _name_late(self._session, self._model)

    def _count(self, event: dict[str, Any]) -> None:
        if self._session is None:
            request = CallRequest(
                operation="voice_agent",
                provider="openai",
                model=self._model,
                source="client",
                attributes={names.REQUEST_STREAM: True},
            )
            self._session = Session.open(self._tracer, request, session_id=self._session_id)
        seconds = field(event.get("usage"), "seconds")
        if seconds is None:
            return
        stated = Decimal(str(seconds))
        if event["type"] == "session.closed":
            self._session.close(vendor_total_seconds=stated)
        elif stated > self._stated_seconds:
            self._session.add_seconds(stated - self._stated_seconds)
            self._stated_seconds = stated

    def _on_response_event(self, event: Any) -> None:
        response, kind = field(event, "response"), field(event, "type")
        identity = str(field(response, "id") or "")
        if kind == "response.created":
            self._delegated_at_unix_ns[identity] = time.time_ns()
        elif kind in _RESPONSE_ENDS:
            self._record_tokens(response, self._delegated_at_unix_ns.pop(identity, None))

    def _record_tokens(self, answer: Any, started_at_unix_ns: int | None = None) -> None:
        request = CallRequest(
            operation="chat",
            provider="openai",
            model=str(field(answer, "model") or ""),
            quantities=_tokens(field(answer, "usage")),
            source="vendor_body",
            attributes={names.RESPONSE_ID: str(field(answer, "id") or ""), names.REQUEST_STREAM: True},
        )
        open_call(self._tracer, request, start_time_unix_ns=started_at_unix_ns).end()


def _name_late(session: Session | None, model: str) -> None:
    """Set the model of a session that began before the vendor had reported it."""
    if session is not None and model:
        session.set(names.RESPONSE_MODEL, model)


def _tokens(usage: Any) -> dict[str, Amount]:
    into, out = field(usage, "input_tokens_details"), field(usage, "output_tokens_details")
    stated = {
        names.INPUT_TOKENS: field(usage, "input_tokens"),
        names.OUTPUT_TOKENS: field(usage, "output_tokens"),
        names.CACHE_READ_TOKENS: field(into, "cached_tokens"),
        names.CACHE_WRITE_TOKENS: field(into, "cache_write_tokens"),
        names.REASONING_TOKENS: field(out, "reasoning_tokens"),
    }
    return {name: amount for name, amount in stated.items() if isinstance(amount, int)}


class Translation:
    """A translation session: the audio that goes into it."""

    def __init__(self, tracer: Tracer) -> None:
        """Begin before the first event."""
        self._tracer = tracer
        self._model = ""
        self._session: Session | None = None
        self._offer: Offer | None = None

    def reserved(self, offer: Offer) -> None:
        """Use this for the session, if there will be one."""
        self._offer = offer

    def on_event(self, event: dict[str, Any]) -> None:
        """One event: the session's own description names the model."""
        session = event.get("session")
        self._model = field(session, "model") or self._model
        _name_late(self._session, self._model)
        if event.get("type") == "session.created":
            self._opened(str(field(session, "id") or ""))
        elif event.get("type") == "session.closed":
            self.closed()

    def sent(self, audio: str) -> None:
        """Audio in base64."""
        self._opened().add_audio(len(audio) * 3 // 4 - audio[-2:].count("="))

    def closed(self) -> None:
        """The session is over."""
        if self._session is not None:
            self._session.close()
        if self._offer is not None:
            self._offer.give_back()

    def _opened(self, session_id: str = "") -> Session:
        if self._session is None:
            self._session = Session.open(
                self._tracer,
                translation_request(self._model),
                session_id=session_id,
                bytes_per_second=_TRANSLATED_BYTES_PER_SECOND,
                offer=self._offer,
            )
        return self._session


def sending(tracer: Tracer) -> Wrapper:
    """Wrapper of `send` of a translation's connection."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = wrapped(*args, **kwargs)
        _count_sent(tracer, instance, args, kwargs)
        return result

    return wrapper


def async_sending(tracer: Tracer) -> Wrapper:
    """The same for asyncio."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = await wrapped(*args, **kwargs)
        _count_sent(tracer, instance, args, kwargs)
        return result

    return wrapper


@quietly
def _count_sent(tracer: Tracer, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    event = args[0] if args else kwargs.get("event")
    audio = field(event, "audio")
    if field(event, "type") == "session.input_audio_buffer.append" and isinstance(audio, str):
        listener: Listener = listener_of(connection, Translation, tracer)
        assert isinstance(listener, Translation)
        listener.sent(audio)
