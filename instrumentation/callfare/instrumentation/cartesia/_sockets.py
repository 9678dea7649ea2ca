"""Cartesia's sockets: many speech contexts on one, or one recogniser that reconnects by itself.

A speech context is one paid call: it opens with its first message, and ends with the vendor's `done` or `error`,
with `cancel` (a barge-in), or with the connection. The messages of one context may come in many pieces.
"""

import json
import threading
from collections.abc import Callable
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
from callfare.calls.websocket import SocketError
from callfare.instrumentation.cartesia import _usage

__all__ = ["Contexts", "Recogniser"]


class Contexts:
    """The speech contexts of one connection."""

    def __init__(self, tracer: Tracer) -> None:
        """Remember the context of connecting, for senders that have none of their own."""
        self._tracer = tracer
        self._connected_in = context_api.get_current()
        self._lock = threading.Lock()
        self._asked = AskedText()
        self._calls: dict[str, CallSpan] = {}

    def asks(self, message: Any) -> Callable[[], None] | None:
        context = self._parent()
        if gate_in(context) is None:
            return None
        content: dict[str, Any] = json.loads(message)
        request = _usage.speech_request(content, is_stream=True)
        if content.get("cancel") or request is None:
            return None
        context_id, characters = str(content.get("context_id") or ""), len(content.get("transcript") or "")
        return self._asked.ask(context_id, self._calls.get(context_id), request, characters, context)

    def sent(self, message: Any) -> None:
        content: dict[str, Any] = json.loads(message)
        context_id = str(content.get("context_id") or "")
        with self._lock:
            if content.get("cancel"):
                call = self._calls.pop(context_id, None)
                if call is not None:
                    call.interrupt()
                return
            call = self._calls.get(context_id)
            if call is None:
                self._open(context_id, content)
            else:
                call.add(names.INPUT_CHARACTERS, len(content.get("transcript") or ""))

    def _open(self, context_id: str, content: dict[str, Any]) -> None:
        request = _usage.speech_request(content, is_stream=True)
        if request is not None:
            hold = self._asked.take(context_id)
            self._calls[context_id] = open_call(self._tracer, request, context=self._parent(), hold=hold)

    def _parent(self) -> Context:
        """One socket may serve several requests: the sender's span is the parent, where there is one."""
        has_span = trace.get_current_span().get_span_context().is_valid
        return context_api.get_current() if has_span else self._connected_in

    def received(self, message: Any) -> None:
        with self._lock:
            # Most messages are audio; after the first piece of each context they add nothing.
            if _is_audio(message) and all(call.has_output for call in self._calls.values()):
                return
            self._read(json.loads(message))

    def _read(self, content: dict[str, Any]) -> None:
        context_id = str(content.get("context_id") or "")
        if context_id not in self._calls and "" in self._calls:
            context_id = ""  # the sender named none, the vendor made one up
        call = self._calls.get(context_id)
        if call is None:
            return
        if content.get("type") == "error":
            del self._calls[context_id]
            if call.has_output:
                call.source = "estimated"  # errors cost nothing, and what was spoken before one does
            call.fail(SocketError(content.get("status_code")), is_refused=not call.has_output)
        elif content.get("done") or content.get("type") == "done":
            del self._calls[context_id]
            call.end()
        else:
            call.has_output = True

    def failed(self, error: BaseException) -> None:
        with self._lock:
            self._asked.give_back()
            for call in self._calls.values():
                call.has_output = True  # the text went over an open connection
                call.fail(error)
            self._calls.clear()

    def ended(self) -> None:
        with self._lock:
            self._interrupt_all()

    def _interrupt_all(self) -> None:
        self._asked.give_back()
        for call in self._calls.values():
            call.interrupt()
        self._calls.clear()

    def __del__(self) -> None:
        self._interrupt_all()  # nobody holds the connection any more, and so nobody its lock


def _is_audio(message: Any) -> bool:
    start = message[:200]
    return (b'"chunk"' in start) if isinstance(start, bytes) else ('"chunk"' in start)


class Recogniser:
    """A recognition socket. It survives the SDK's own reconnects: neither id nor count starts again."""

    def __init__(self, tracer: Tracer, request: CallRequest, parameters: dict[str, Any], *, reconnects: bool) -> None:
        """`reconnects`: whether the SDK is configured to connect again after a break."""
        self._reconnects = reconnects
        rate = _usage.stream_bytes_per_second(parameters)
        self._session = Session.open(tracer, request, bytes_per_second=rate)

    @property
    def is_open(self) -> bool:
        """Whether it still counts."""
        return self._session.is_open

    def sent(self, message: Any) -> None:
        if not isinstance(message, str):
            self._session.add_audio(len(message))

    def received(self, message: Any) -> None:
        """Nothing: the vendor states no total."""

    def failed(self, error: BaseException) -> None:
        if not self._reconnects:
            self._session.fail(error)

    def ended(self) -> None:
        self._session.close()
