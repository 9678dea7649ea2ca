"""AssemblyAI's sockets: a recogniser billed while it is open, and speech billed by the characters that are sent.

The same function of the SDK opens both, so they are distinguished by their addresses. A recogniser is one session,
until the vendor sends `Termination`. A speech socket is many paid calls in a row: `Generate` messages up to a `Flush`
are one, complete at its `FlushDone`; `Cancel` is the barge-in, after which the text that was sent is still billed.
"""

import json
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.admission import gate_in
from callfare.calls.asking import AskedText
from callfare.calls.session import Session
from callfare.calls.span import CallRequest, CallSpan, open_call
from callfare.calls.websocket import Listener, SocketError
from callfare.instrumentation.assemblyai import _usage

__all__ = ["listener_for"]


def listener_for(tracer: Tracer, request: CallRequest) -> Listener:
    """Return the listener for the socket of this request."""
    kind: Callable[[Tracer, CallRequest], Listener] = _Speaking if request.operation == _usage.SPEECH else _Listening
    return kind(tracer, request)


class _Listening:
    """An open recogniser. What counts is its time, so its audio is not counted beside it."""

    def __init__(self, tracer: Tracer, request: CallRequest) -> None:
        self._session = Session.open(tracer, request, is_metered_when_silent=True)

    def sent(self, message: Any) -> None:
        """Nothing: the clock is the meter."""

    def received(self, message: Any) -> None:
        if '"Termination"' not in message and '"Begin"' not in message:
            return
        content: dict[str, Any] = json.loads(message)
        if content.get("type") == "Begin":
            self._session.set(names.RESPONSE_ID, str(content.get("id") or ""))
        elif content.get("type") == "Termination":
            seconds = content.get("session_duration_seconds")
            self._session.close(vendor_total_seconds=None if seconds is None else Decimal(str(seconds)))

    def failed(self, error: BaseException) -> None:
        self._session.fail(error)

    def ended(self) -> None:
        """Ended without a `Termination`: the vendor may go on billing for up to three hours, so it is `lost`."""
        self._session.lost()


class _Speaking:
    """A speech socket. Every `Flush` and every `Cancel` takes the next number, by which the vendor answers.

    One thread may send while another receives, so every step holds the lock.
    """

    def __init__(self, tracer: Tracer, request: CallRequest) -> None:
        self._tracer = tracer
        self._request = request
        self._connected_in = context_api.get_current()
        self._lock = threading.Lock()
        self._asked = AskedText()
        self._calls: dict[int, CallSpan] = {}
        self._flush_id = 0
        self._sent_characters = 0

    def asks(self, message: Any) -> Callable[[], None] | None:
        context = self._parent()
        if gate_in(context) is None or '"Generate"' not in message:
            return None
        characters = len(json.loads(message).get("text") or "")
        call = self._calls.get(self._flush_id)
        return self._asked.ask(str(self._flush_id), call, self._request, characters, context)

    def sent(self, message: Any) -> None:
        content: dict[str, Any] = json.loads(message)
        kind = content.get("type")
        with self._lock:
            if kind == "Generate":
                self._speak(len(content.get("text") or ""))
            elif kind in ("Flush", "Cancel"):
                if kind == "Cancel":
                    self._interrupt_all()
                self._flush_id += 1

    def _speak(self, characters: int) -> None:
        call = self._calls.get(self._flush_id)
        if call is None:
            hold = self._asked.take(str(self._flush_id))
            call = open_call(self._tracer, self._request, context=self._parent(), hold=hold)
            self._calls[self._flush_id] = call
        call.add(names.INPUT_CHARACTERS, characters)
        self._sent_characters += characters

    def _parent(self) -> Context:
        """One socket may serve several requests: the sender's span is the parent, where there is one."""
        has_span = trace.get_current_span().get_span_context().is_valid
        return context_api.get_current() if has_span else self._connected_in

    def received(self, message: Any) -> None:
        with self._lock:
            # Most messages are audio; after the first piece of each request they add nothing.
            if '"Audio"' in message[:200] and all(call.has_output for call in self._calls.values()):
                return
            self._read(json.loads(message))

    def _read(self, content: dict[str, Any]) -> None:
        kind, call = content.get("type"), self._calls.get(content.get("flush_id", -1))
        if kind == "Begin":
            self._request = _usage.begun_speech(self._request, content)
        elif kind == "Audio" and call is not None:
            call.has_output = True
        elif kind == "FlushDone" and call is not None:
            del self._calls[content["flush_id"]]
            call.replace(names.AUDIO_OUTPUT_SECONDS, Decimal(content["audio_duration_ms"]) / 1000)
            call.end()
        elif kind == "Error":
            self._fail_all(SocketError())
        elif kind == "Termination":
            self._settle(content)

    def _settle(self, content: dict[str, Any]) -> None:
        """The vendor's own count of all characters: what it has beyond ours is on no span yet."""
        beyond = (content.get("total_input_char_length") or 0) - self._sent_characters
        if beyond > 0:
            call = open_call(self._tracer, self._request, context=self._connected_in)
            call.replace(names.INPUT_CHARACTERS, beyond, source="vendor_body")
            call.end()
        for call in self._calls.values():
            call.end()
        self._calls.clear()

    def _interrupt_all(self) -> None:
        self._asked.give_back()
        for call in self._calls.values():
            call.interrupt()
        self._calls.clear()

    def _fail_all(self, error: BaseException) -> None:
        self._asked.give_back()
        for call in self._calls.values():
            call.has_output = True  # the text went over an open connection
            call.fail(error)
        self._calls.clear()

    def failed(self, error: BaseException) -> None:
        with self._lock:
            self._fail_all(error)

    def ended(self) -> None:
        with self._lock:
            self._interrupt_all()

    def __del__(self) -> None:
        self._interrupt_all()  # nobody holds the connection any more, and so nobody its lock
