"""LiveKit Agents: what LiveKit itself writes on no span, speech to text above all.

    LiveKitInstrumentor().instrument()              # or `opentelemetry-instrument`, entry point `callfare_livekit`

LiveKit's own spans tell the usage of language models (`llm_request`) and of speech (`tts_request`), and the cost
service reads them. Its recognisers only emit metrics events: these become deltas of one session per recogniser,
in seconds of audio. Where a vendor's instrumentor sees the same recognition, `gen_ai.usage.billable` is false.
The session ends with the recogniser's `aclose` or, as hardly anybody calls that, with the `AgentSession` it serves.
Of a realtime model's answers, those are told here that no turn came to speak.
LiveKit's Deepgram plugin adds the socket's idle time to its figure at close (livekit/agents issue 5498).
"""

import sys
import weakref
from collections import deque
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, ClassVar

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.guard import quietly
from callfare.instrumentation.livekit._realtime import is_realtime, record, tell
from callfare.instrumentation.livekit.package import _instruments  # pyright: ignore[reportPrivateUsage]
from callfare.instrumentor import CallfareInstrumentor, Wrap
from callfare.session import Session
from callfare.span import Request, is_call_seen, watch_calls
from callfare.wrapping import Wrapper

__all__ = ["LiveKitInstrumentor"]

_OUTER = context_api.create_key("callfare-livekit-outer")
_REMEMBERED_MAX = 256
_SECONDS_DIGITS = 6
_sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()
_seen_metrics: deque[object] = deque(maxlen=_REMEMBERED_MAX)
"""Adapters emit again what the recogniser below them emitted: the very same object."""


_heard_now: ContextVar[Session | None] = ContextVar("callfare-livekit-heard", default=None)
"""The session of the event being emitted: an `AgentSession` passes the event on within the same call."""
_of_agents: weakref.WeakKeyDictionary[Any, weakref.WeakSet[Session]] = weakref.WeakKeyDictionary()
"""Which sessions end with which `AgentSession`."""


def _emit(tracer: Tracer) -> Wrapper:
    """Wrapper of `EventEmitter.emit`: sees the metrics of every recogniser, whoever listens."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(args) < 2 or args[0] not in {"metrics_collected", "close"}:  # noqa: PLR2004 - event and its value
            return wrapped(*args, **kwargs)
        if is_realtime(args[1]):
            try:
                return wrapped(*args, **kwargs)
            finally:
                tell(tracer, args[1], lambda provider: _conventional(provider) or provider)
        session = _listen(tracer, instance, args[1])
        if session is None:
            return wrapped(*args, **kwargs)
        token = _heard_now.set(session)
        try:
            return wrapped(*args, **kwargs)
        finally:
            _heard_now.reset(token)

    return wrapper


@quietly
def _listen(tracer: Tracer, emitter: Any, event: Any) -> Session | None:
    """Take in an event; the session, where it is a recogniser's first word of what it heard."""
    kind = getattr(event, "type", "")
    if kind == "stt_metrics":
        return _hear(tracer, emitter, event)
    if kind == "metrics_collected" and (heard := _heard_now.get()) is not None:
        _of_agents.setdefault(emitter, weakref.WeakSet()).add(heard)
    elif kind == "close":
        for session in _of_agents.pop(emitter, ()):
            session.close()
    return None


def _hear(tracer: Tracer, recogniser: Any, metrics: Any) -> Session | None:
    if any(known is metrics for known in _seen_metrics):
        return None
    _seen_metrics.append(metrics)
    session = _sessions.get(recogniser)
    if session is None or not session.is_open:
        # The context from before the watch: our own session must not pass for a vendor's.
        outer = context_api.get_value(_OUTER)
        context = outer if isinstance(outer, Context) else None
        session = _sessions[recogniser] = Session.open(tracer, _request(recogniser, metrics), context=context)
        LiveKitInstrumentor().wrap_late(type(recogniser), _GOODBYE, tracer)
    if is_call_seen("speech_to_text"):
        session.set(names.USAGE_BILLABLE, value=False)
    # A sum of floats has a digit too many, for which a price by started seconds would charge another second.
    session.add_seconds(round(Decimal(str(metrics.audio_duration)), _SECONDS_DIGITS))
    for name, amount in (
        (names.INPUT_TOKENS, metrics.input_tokens),
        (names.OUTPUT_TOKENS, metrics.output_tokens),
        (names.INPUT_AUDIO_TOKENS, metrics.input_audio_tokens),
    ):
        if amount:
            session.add(name, amount)
    return session


def _request(recogniser: Any, metrics: Any) -> Request:
    told = metrics.metadata
    provider = str(getattr(told, "model_provider", "") or getattr(recogniser, "provider", "")).lower()
    return Request(
        operation="speech_to_text",
        provider=_conventional(provider) or provider,
        model=str(getattr(told, "model_name", "") or getattr(recogniser, "model", "")),
        attributes={names.REQUEST_STREAM: bool(metrics.streamed)},
    )


@quietly
def _conventional(provider: str) -> str:
    """OpenAI's plugin, and those built on it, name the host they speak to; LiveKit knows whose it is."""
    name_of = getattr(sys.modules.get("livekit.agents.telemetry.trace_types"), "gen_ai_provider_name", None)
    return str(name_of(provider)) if name_of is not None and "." in provider else provider


def _watching() -> Context:
    context, _ = watch_calls()
    return context_api.set_value(_OUTER, context_api.get_current(), context)


def _stream_init(_tracer: Tracer) -> Wrapper:
    """Wrapper of `RecognizeStream.__init__`, which starts the tasks that send and that measure."""

    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        token = context_api.attach(_watching())
        try:
            return wrapped(*args, **kwargs)
        finally:
            context_api.detach(token)

    return wrapper


def _recognize(_tracer: Tracer) -> Wrapper:
    """Wrapper of `STT.recognize`, one request for one piece of audio."""

    async def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        token = context_api.attach(_watching())
        try:
            return await wrapped(*args, **kwargs)
        finally:
            context_api.detach(token)

    return wrapper


def _aclose(_tracer: Tracer) -> Wrapper:
    """Wrapper of a recogniser's `aclose`: the session's goodbye."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return await wrapped(*args, **kwargs)
        finally:
            session = _sessions.pop(instance, None)
            if session is not None:
                session.close()

    return wrapper


_GOODBYE = Wrap("livekit.agents.stt.stt", "STT.aclose", _aclose)


class LiveKitInstrumentor(CallfareInstrumentor):
    """Records the seconds of audio that LiveKit's recognisers hear."""

    name: ClassVar[str] = "livekit"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("livekit.rtc.event_emitter", "EventEmitter.emit", _emit),
        Wrap("livekit.agents.stt.stt", "RecognizeStream.__init__", _stream_init),
        Wrap("livekit.agents.stt.stt", "STT.recognize", _recognize),
        _GOODBYE,
        Wrap("livekit.agents.telemetry.utils", "record_realtime_metrics", record),
    )
