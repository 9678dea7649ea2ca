"""LiveKit Agents: usage that LiveKit itself writes on no span, above all speech to text.

    LiveKitInstrumentor().instrument()              # or `opentelemetry-instrument`, entry point `callfare_livekit`

LiveKit's own spans report the usage of language models (`llm_request`) and of speech (`tts_request`), and the cost
service reads them. Its recognisers only emit metrics events: these become deltas of one session per recogniser,
in seconds of audio. Where a vendor's instrumentor sees the same recognition, `gen_ai.usage.billable` is false.
The session ends with the recogniser's `aclose` or, as hardly anybody calls that, with the `AgentSession` it serves.
Answers of a realtime model that no turn speaks are reported here as well.
An `AgentSession` is a workflow, `voice call`, unless a `callfare.workflow` is around it.
LiveKit's Deepgram plugin adds the socket's idle time to its figure at close (livekit/agents issue 5498): no more audio
is reported than the recogniser was given.
"""

import weakref
from collections import deque
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, ClassVar

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.session import Session
from callfare.calls.span import CallRequest, is_call_seen, watch_calls
from callfare.calls.wrapping import Wrapper
from callfare.ending import before_the_end
from callfare.guard import quietly
from callfare.instrumentation.livekit import _call, _listen, _open
from callfare.instrumentation.livekit._realtime import is_realtime, record, record_usage
from callfare.instrumentation.livekit._requests import conventional, request_of_metrics, request_of_recogniser
from callfare.instrumentation.livekit.package import _instruments  # pyright: ignore[reportPrivateUsage]
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["LiveKitInstrumentor"]

_OUTER = context_api.create_key("callfare-livekit-outer")
_REMEMBERED_MAX = 256
_SECONDS_DIGITS = 6
_sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()
_given: "weakref.WeakKeyDictionary[Any, _Given]" = weakref.WeakKeyDictionary()
_seen_metrics: deque[object] = deque(maxlen=_REMEMBERED_MAX)
"""Adapters emit again what the recogniser below them emitted: the very same object."""


_current_session: ContextVar[Session | None] = ContextVar("callfare-livekit-session", default=None)
"""The session of the event being emitted: an `AgentSession` passes the event on within the same call."""
_of_agents: weakref.WeakKeyDictionary[Any, weakref.WeakSet[Session]] = weakref.WeakKeyDictionary()
"""Which sessions end with which `AgentSession`."""


def _emit(tracer: Tracer) -> Wrapper:
    """Wrapper of `EventEmitter.emit`: sees the metrics of every recogniser, whether or not anything listens."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(args) < 2 or args[0] not in {"metrics_collected", "close", "error"}:  # noqa: PLR2004 - event and its value
            return wrapped(*args, **kwargs)
        if is_realtime(args[1]):
            try:
                return wrapped(*args, **kwargs)
            finally:
                record_usage(tracer, args[1], lambda provider: conventional(provider) or provider)
        session = _hear(tracer, instance, args[1])
        if session is None:
            return wrapped(*args, **kwargs)
        token = _current_session.set(session)
        try:
            return wrapped(*args, **kwargs)
        finally:
            _current_session.reset(token)

    return wrapper


@quietly
def _hear(tracer: Tracer, emitter: Any, event: Any) -> Session | None:
    """Process an event. Return the session where it is a recogniser's first report of some audio, else None."""
    kind = getattr(event, "type", "")
    if kind == "stt_metrics":
        return _record(tracer, emitter, event)
    if kind == "metrics_collected" and (session := _current_session.get()) is not None:
        _of_agents.setdefault(emitter, weakref.WeakSet()).add(session)
    elif kind == "stt_error":
        # Audio on its way to a connection that broke: nobody knows whether it arrived.
        if (session := _sessions.get(emitter)) is not None:
            session.source = "estimated"
    elif kind == "close":
        for session in _of_agents.pop(emitter, ()):
            session.close()
    return None


def _record(tracer: Tracer, recogniser: Any, metrics: Any) -> Session | None:
    if any(known is metrics for known in _seen_metrics):
        return None
    _seen_metrics.append(metrics)
    session = _session_of(tracer, recogniser, request_of_metrics(recogniser, metrics))
    if is_call_seen("speech_to_text"):
        session.set(names.USAGE_BILLABLE, value=False)
    if metrics.audio_duration or not metrics.input_tokens:  # a realtime model's transcription is billed by tokens
        session.add_seconds(_new_seconds(recogniser, metrics.audio_duration))
    for name, amount in (
        (names.INPUT_TOKENS, metrics.input_tokens),
        (names.OUTPUT_TOKENS, metrics.output_tokens),
        (names.INPUT_AUDIO_TOKENS, metrics.input_audio_tokens),
    ):
        if amount:
            session.add(name, amount)
    return session


def _session_of(tracer: Tracer, recogniser: Any, request: CallRequest) -> Session:
    session = _sessions.get(recogniser)
    if session is None or not session.is_open:
        # The context from before the watch: our own session must not pass for a vendor's.
        outer = context_api.get_value(_OUTER)
        context = outer if isinstance(outer, Context) else None
        session = _sessions[recogniser] = Session.open(
            tracer,
            request,
            context=context,
            is_held=not is_call_seen("speech_to_text"),
            offer=_listen.reserved_for(recogniser),
        )
        LiveKitInstrumentor().wrap_late(type(recogniser), _GOODBYE, tracer)
    return session


def _seconds(seconds: float) -> Decimal:
    """A sum of floats has a digit too many, for which a price by started seconds would charge another second."""
    return round(Decimal(str(seconds)), _SECONDS_DIGITS)


def _new_seconds(recogniser: Any, reported: float) -> Decimal:
    """Return the seconds that a report adds: never more audio than the recogniser was given.

    At close, LiveKit's Deepgram plugin reports the life of its socket as well. Deepgram bills the audio; how long the
    socket lived is in the session's own seconds.
    """
    given = _given.get(recogniser)
    if given is None:
        return _seconds(reported)
    seconds = min(_seconds(reported), max(given.seconds - given.reported, Decimal(0)))
    given.reported += seconds
    return seconds


class _Given:
    """Audio that a recogniser was given, and how much of it has been reported."""

    def __init__(self) -> None:
        self.seconds = self.reported = Decimal(0)
        self.context = context_api.get_current()


def _push_frame(_tracer: Tracer) -> Wrapper:
    """Wrapper of `RecognizeStream.push_frame`."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _give(instance, args[0] if args else kwargs.get("frame"))
        return wrapped(*args, **kwargs)

    return wrapper


@quietly
def _give(stream: Any, frame: Any) -> None:
    recogniser = stream._stt  # noqa: SLF001 - LiveKit offers no other way
    if _listen.is_adapter(recogniser):
        return
    given = _given.get(recogniser)
    if given is None:
        given = _given[recogniser] = _Given()
    given.seconds += _seconds(frame.samples_per_channel / frame.sample_rate)


def _report_the_rest(tracer: Tracer) -> None:
    """Report the audio given since LiveKit's last report, as the process exits: reports are 5 seconds or more apart."""
    for recogniser, given in list(_given.items()):
        rest = given.seconds - given.reported
        session = _sessions.get(recogniser)
        if rest > 0 and (session is None or session.is_open):
            if session is None:
                request = request_of_recogniser(recogniser)
                session = Session.open(tracer, request, context=given.context, is_held=False)  # it ends here
                _sessions[recogniser] = session
            given.reported += rest
            session.source = "estimated"
            session.add_seconds(rest)


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

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        token = context_api.attach(_watching())
        try:
            return await _listen.run_recognition(wrapped, instance, args, kwargs)
        finally:
            context_api.detach(token)

    return wrapper


def _aclose(_tracer: Tracer) -> Wrapper:
    """Wrapper of a recogniser's `aclose`, which closes the session."""

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
    """Records the seconds of audio that LiveKit's recognisers transcribe."""

    name: ClassVar[str] = "livekit"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("livekit.rtc.event_emitter", "EventEmitter.emit", _emit),
        Wrap("livekit.agents.stt.stt", "RecognizeStream.__init__", _stream_init),
        Wrap("livekit.agents.stt.stt", "RecognizeStream._main_task", _listen.main_task),
        Wrap("livekit.agents.stt.stt", "RecognizeStream.push_frame", _push_frame),
        Wrap("livekit.agents.stt.stt", "STT.recognize", _recognize),
        Wrap("livekit.agents.voice.agent_session", "AgentSession.start", _call.session_start),
        Wrap("livekit.agents.voice.agent_session", "AgentSession._aclose_impl", _call.session_close),
        Wrap("livekit.agents.llm.llm", "LLMStream.__init__", _open.llm_init),
        Wrap("livekit.agents.llm.llm", "LLMStream.aclose", _open.close),
        Wrap("livekit.agents.llm.llm", "LLMStream.__anext__", _open.chunk),
        Wrap("livekit.agents.llm.llm", "LLMStream._emit_error", _open.emit_error),
        Wrap("livekit.agents.tts.tts", "SynthesizeStream._emit_error", _open.emit_error),
        Wrap("livekit.agents.tts.tts", "ChunkedStream._emit_error", _open.emit_error),
        Wrap("livekit.agents.tts.tts", "SynthesizeStream.__init__", _open.tts_init),
        Wrap("livekit.agents.tts.tts", "SynthesizeStream.aclose", _open.close),
        Wrap("livekit.agents.tts.tts", "ChunkedStream.__init__", _open.tts_init),
        Wrap("livekit.agents.tts.tts", "ChunkedStream.aclose", _open.close),
        _GOODBYE,
        Wrap("livekit.agents.telemetry.utils", "record_realtime_metrics", record),
    )

    def started(self, tracer: Tracer) -> None:
        """Report what is left at the end of the process, when LiveKit no longer does."""
        before_the_end("livekit", lambda: (_report_the_rest(tracer), _open.end_all())[0])
