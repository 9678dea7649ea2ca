"""Deepgram's sockets: one session per recogniser, one span per utterance of speech.

A recogniser (and an agent) reports its audio while it listens and ends with Deepgram's own total. A speech socket
is many paid calls in a row: `Speak` messages up to a `Flush` are one utterance, ended by `Flushed`; `Clear` and
`Interrupt` are the barge-in, after which the text that was sent is still billed.
"""

import json
import threading
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.audio.duration import seconds_of_bytes
from callfare.calls.admission import gate_in
from callfare.calls.asking import AskedText
from callfare.calls.session import Session
from callfare.calls.span import CallRequest, CallSpan, open_call
from callfare.calls.websocket import Listener, OpenListener
from callfare.instrumentation.deepgram._usage import (
    AGENT,
    SPEAK,
    audio_covered,
    billed_channels,
    stream_bytes_per_second,
)

__all__ = ["listener_for"]


def listener_for(kind: str, parameters: dict[str, Any]) -> OpenListener:
    """How to listen to a socket of this kind."""

    def open_listener(tracer: Tracer, request: CallRequest) -> Listener:
        rate = stream_bytes_per_second(kind, parameters)
        if kind == SPEAK:
            return _Speaking(tracer, request, rate)
        session = Session.open(
            tracer,
            request,
            bytes_per_second=None if kind == AGENT else rate,
            is_metered_when_silent=kind == AGENT,  # the Voice Agent is billed by connected time
        )
        return _Listening(session, parameters, is_measured=rate is not None)

    return open_listener


class _Listening:
    """A recogniser at work."""

    def __init__(self, session: Session, parameters: dict[str, Any], *, is_measured: bool) -> None:
        self._session = session
        self._parameters = parameters
        self._is_measured = is_measured
        self._covered_seconds: dict[int, Decimal] = {}

    def sent(self, message: Any) -> None:
        if not isinstance(message, str):
            self._session.add_audio(len(message))

    def received(self, message: Any) -> None:
        # A substring first: results come ten times a second and only the last message has the total.
        if isinstance(message, str) and (not self._is_measured or '"Metadata"' in message):
            self._read(json.loads(message))

    def _read(self, message: dict[str, Any]) -> None:
        if message.get("type") == "Metadata" and message.get("duration") is not None:
            self._session.close(
                vendor_total_seconds=Decimal(str(message["duration"])),
                channels=billed_channels(self._parameters, message.get("channels")),
                response_id=message.get("request_id") or "",
            )
            return
        covered = audio_covered(message)
        if covered is not None and not self._is_measured:
            self._count_until(*covered)

    def _count_until(self, channel: int, until_seconds: Decimal) -> None:
        """Interim results overlap: only what goes beyond the latest end is new, and channels run side by side."""
        before = max(self._covered_seconds.values(), default=Decimal(0))
        self._covered_seconds[channel] = max(until_seconds, self._covered_seconds.get(channel, Decimal(0)))
        self._session.add_seconds(max(self._covered_seconds.values()) - before)

    def failed(self, error: BaseException) -> None:
        self._session.fail(error)

    def ended(self) -> None:
        self._session.close()


class _Speaking:
    """A speech socket: `_current` is being written, `_flushed` are being spoken.

    One thread may send while another receives, so every step holds the lock.
    """

    def __init__(self, tracer: Tracer, request: CallRequest, rate_bytes_per_second: int | None) -> None:
        self._tracer = tracer
        self._request = request
        self._rate = rate_bytes_per_second
        self._context = context_api.get_current()
        self._lock = threading.Lock()
        self._asked = AskedText()
        self._current: CallSpan | None = None
        self._flushed: deque[CallSpan] = deque()
        self._chosen_model = ""
        """The vendor's choice, where the address names no model."""

    def asks(self, message: Any) -> Callable[[], None] | None:
        if gate_in(self._context) is None or not isinstance(message, str) or '"Speak"' not in message:
            return None
        text = json.loads(message).get("text") or ""
        return self._asked.ask("", self._current, self._request, len(text), self._context)

    def sent(self, message: Any) -> None:
        if not isinstance(message, str):
            return
        content = json.loads(message)
        kind = content.get("type")
        with self._lock:
            if kind == "Speak":
                self._speak(content.get("text") or "")
            elif kind in ("Flush", "Close", "Interrupt"):  # Flux answers an `Interrupt` with the turn's bill
                self._flush()
            elif kind == "Clear":
                self._interrupt_all()

    def _speak(self, text: str) -> None:
        if self._current is None:
            hold = self._asked.take("")
            self._current = open_call(self._tracer, self._request, context=self._context, hold=hold)
            self._current.source = "request"
            self._current.set(names.RESPONSE_MODEL, self._chosen_model)
        self._current.add(names.INPUT_CHARACTERS, len(text))

    def _flush(self) -> None:
        if self._current is not None:
            self._flushed.append(self._current)
            self._current = None

    def received(self, message: Any) -> None:
        with self._lock:
            content = json.loads(message) if isinstance(message, str) else None
            if content is not None and content.get("type") == "Metadata":
                self._learn(content)
            call = self._flushed[0] if self._flushed else self._current
            if call is None:
                return
            if content is None:
                self._add_sound(call, len(message))
            else:
                self._read_reply(call, content)

    def _learn(self, content: dict[str, Any]) -> None:
        if self._request.model:
            return
        self._chosen_model = str(content.get("model_name") or "")
        for call in (*self._flushed, *([self._current] if self._current else [])):
            call.set(names.RESPONSE_MODEL, self._chosen_model)

    def _add_sound(self, call: CallSpan, byte_count: int) -> None:
        call.has_output = True
        seconds = seconds_of_bytes(byte_count, self._rate)
        if seconds is not None:
            call.add(names.AUDIO_OUTPUT_SECONDS, seconds)

    def _read_reply(self, call: CallSpan, content: dict[str, Any]) -> None:
        kind = content.get("type")
        if kind == "SpeechMetadata":
            _settle(call, content)
            self._forget(call)
            call.end()
        elif kind == "SpeechInterrupted":
            _settle(call, content.get("metadata") or {})
            self._forget(call)
            call.interrupt()
        elif kind == "Flushed" and "speech_id" not in content and self._flushed:
            # Aura: the utterance is complete. Flux acknowledges the flush with its `speech_id` and goes on.
            self._forget(call)
            call.end()

    def _forget(self, call: CallSpan) -> None:
        if call is self._current:
            self._current = None
        else:
            self._flushed.popleft()

    def failed(self, error: BaseException) -> None:
        with self._lock:
            self._asked.give_back()
            self._flush()
            while self._flushed:
                call = self._flushed.popleft()
                call.has_output = True  # the text went over an open connection: Deepgram had it
                call.fail(error)

    def ended(self) -> None:
        with self._lock:
            self._interrupt_all()

    def _interrupt_all(self) -> None:
        self._asked.give_back()
        self._flush()
        while self._flushed:
            self._flushed.popleft().interrupt()

    def __del__(self) -> None:
        self._interrupt_all()  # nobody holds the connection any more, and so nobody its lock


def _settle(call: CallSpan, content: dict[str, Any]) -> None:
    """Flux counts each turn itself."""
    call.replace(names.BILLED_QUANTITY, content.get("billable_character_count"), source="vendor_body")
    call.set(names.BILLED_UNIT, "character")
    call.set(names.RESPONSE_ID, content.get("speech_id") or "")
    if content.get("audio_duration_ms") is not None:
        call.replace(names.AUDIO_OUTPUT_SECONDS, Decimal(content["audio_duration_ms"]) / 1000)
