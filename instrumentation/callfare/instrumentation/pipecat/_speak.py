"""Wrappers of Pipecat's speakers: each `run_tts` is a run; in TOKEN mode the whole utterance is one.

Over HTTP the run ends with the answer. A speaker with a socket hands over the text and learns of its end, or of an
error, later: its runs stay open until their audio context ends, so that what the vendor did not speak is not charged
as if it had been. Open runs end with the process, so that nothing is lost by the waiting.
"""

import re
from collections.abc import AsyncGenerator
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.calls.websocket import SocketError
from callfare.calls.wrapping import Wrapper
from callfare.guard import quietly
from callfare.instrumentation.pipecat._drive import in_context, replace_method
from callfare.instrumentation.pipecat._run import Run, begin, report
from callfare.instrumentation.pipecat._usage import costs_nothing_on_error, is_on_socket

__all__ = ["tts_cancel", "tts_cleanup", "tts_init", "tts_interruption", "tts_usage"]

_SPEECH = "text_to_speech"
_SOUND = "TTSAudioRawFrame"
_VOICE = "_callfare_voice"
_ERROR_MESSAGE = re.compile(r"['\"]type['\"]: ['\"]error['\"]")
_STATUS = re.compile(r"['\"]status_code['\"]: (\d{3})\b")


class _Voice:
    """What we keep of a speaker: the utterance of TOKEN mode, and the runs whose audio is still to come."""

    def __init__(self) -> None:
        self.utterance: Run | None = None
        self.utterance_context_id = ""
        self.waiting: dict[str, list[Run]] = {}
        """By audio context."""
        self.with_audio: set[str] = set()
        """Audio contexts of which audio has come."""
        self.sending: set[Run] = set()
        """Runs whose text is on its way to the vendor."""

    def wait(self, context_id: str, run: Run) -> None:
        """The text is with the vendor: the run ends with its audio context."""
        self.waiting.setdefault(context_id, []).append(run)

    def sound_came(self, context_id: str) -> None:
        """For the text that was sent first of those that wait for it."""
        if context_id not in self.with_audio:
            self.with_audio.add(context_id)
            for run in self._runs(context_id)[:1]:
                run.came()

    def end(self, context_id: str, error: BaseException | None = None) -> None:
        """The audio context is over."""
        self.with_audio.discard(context_id)
        for run in self.waiting.pop(context_id, ()):
            run.end(error)

    def end_all(self) -> None:
        """Nobody listens any more."""
        for context_id in list(self.waiting):
            self.end(context_id, GeneratorExit())

    def fail(self, text: str, *, is_free: bool) -> None:
        """The service reported an error: of the audio context that it names, else of all."""
        contexts = {*self.waiting, self.utterance_context_id} - {""}
        named = {context_id for context_id in contexts if context_id in text}
        is_vendors = bool(named) and _ERROR_MESSAGE.search(text) is not None
        for context_id in named or contexts:
            if is_free and is_vendors and context_id not in self.with_audio:
                self._refuse(context_id, text)
            else:
                self._doubt(context_id)

    def lose_connection(self) -> None:
        """Of what was sent the vendor may have read all or nothing, and no more audio of it comes."""
        for context_id in {*self.waiting, self.utterance_context_id} - {""}:
            self._doubt(context_id)
        for run in self.sending:
            run.call.source = "estimated"

    def _refuse(self, context_id: str, text: str) -> None:
        status = _STATUS.search(text)
        for run in self._runs(context_id):
            run.refuse(SocketError(int(status[1]) if status is not None else None))
        self.waiting.pop(context_id, None)

    def _doubt(self, context_id: str) -> None:
        """How much of the text the vendor charges is not known."""
        for run in self._runs(context_id):
            run.call.source = "estimated"

    def _runs(self, context_id: str) -> list[Run]:
        open_utterance = [self.utterance] if self.utterance is not None else []
        spoken = open_utterance if context_id == self.utterance_context_id else []
        return [*self.waiting.get(context_id, ()), *spoken]


def _voice_of(service: Any) -> _Voice:
    voice: _Voice | None = vars(service).get(_VOICE)
    if voice is None:
        voice = vars(service)[_VOICE] = _Voice()
    return voice


def tts_usage(tracer: Tracer) -> Wrapper:
    """Wrapper of `FrameProcessor.start_tts_usage_metrics(text)`: in TOKEN mode, the end of an utterance."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        text = args[0] if args else kwargs.get("text", "")
        if getattr(instance, "_is_streaming_tokens", False):
            _end_utterance(instance)
        else:
            report(tracer, instance, _SPEECH, {names.INPUT_CHARACTERS: len(text)})
        return await wrapped(*args, **kwargs)

    return wrapper


def tts_interruption(_tracer: Tracer) -> Wrapper:
    """Wrapper of `TTSService._handle_interruption`, which forgets what TOKEN mode has sent (pipecat issue 5611)."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _end_utterance(instance, GeneratorExit())
        return await wrapped(*args, **kwargs)

    return wrapper


tts_cancel = tts_interruption
"""Wrapper of `TTSService.cancel`, after which nobody reports any more."""


def tts_cleanup(_tracer: Tracer) -> Wrapper:
    """Wrapper of `TTSService.cleanup`, after which no audio comes."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _end_utterance(instance, GeneratorExit())
        _end_waiting(instance)
        return await wrapped(*args, **kwargs)

    return wrapper


@quietly
def _end_waiting(service: Any) -> None:
    _voice_of(service).end_all()


@quietly
def _utterance_of(tracer: Tracer, service: Any, character_count: int, context_id: str) -> Run:
    """The utterance whose next token is being sent; its first one begins it.

    It is open as long as tokens come, so that the end of the process finds it.
    """
    voice = _voice_of(service)
    utterance = voice.utterance
    if utterance is None or utterance.call.is_finished:
        utterance = voice.utterance = Run(tracer, service, _SPEECH, is_call=False)
    voice.utterance_context_id = context_id
    utterance.add({names.INPUT_CHARACTERS: character_count})
    return utterance


@quietly
def _end_utterance(service: Any, error: BaseException | None = None) -> None:
    voice = _voice_of(service)
    utterance, context_id = voice.utterance, voice.utterance_context_id
    voice.utterance, voice.utterance_context_id = None, ""
    if utterance is None:
        return
    if error is None and context_id and is_on_socket(service):
        voice.wait(context_id, utterance)
    else:
        utterance.end(error)


def tts_init(tracer: Tracer) -> Wrapper:
    """Wrapper of `TTSService.__init__`: from here on, each `run_tts` of this object is a run."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **kwargs)
        replace_method(instance, "run_tts", lambda run: _speaking(tracer, instance, run))
        if is_on_socket(instance):
            replace_method(instance, "append_to_audio_context", lambda append: _appending(instance, append))
            replace_method(instance, "on_audio_context_completed", lambda over: _ending(instance, over, None))
            replace_method(
                instance, "on_audio_context_interrupted", lambda over: _ending(instance, over, GeneratorExit())
            )
            replace_method(instance, "push_error_frame", lambda push: _failing(instance, push))
            replace_method(instance, "_reconnect_websocket", lambda again: _reconnecting(instance, again))

    return wrapper


def _appending(service: Any, append: Any) -> Any:
    async def append_to_audio_context(context_id: Any, frame: Any, *args: Any, **kwargs: Any) -> Any:
        _note_frame(service, context_id, frame)
        return await append(context_id, frame, *args, **kwargs)

    return append_to_audio_context


@quietly
def _note_frame(service: Any, context_id: Any, frame: Any) -> None:
    """Audio of a context, or its end: the vendor has spoken all of it."""
    voice = _voice_of(service)
    if frame is None:
        voice.end(context_id)
    elif type(frame).__name__ == _SOUND and context_id in {*voice.waiting, voice.utterance_context_id}:
        voice.sound_came(context_id)


def _ending(service: Any, over: Any, error: BaseException | None) -> Any:
    async def audio_context_is_over(*args: Any, **kwargs: Any) -> Any:
        _end_context(service, args[0] if args else kwargs.get("context_id", ""), error)
        return await over(*args, **kwargs)

    return audio_context_is_over


@quietly
def _end_context(service: Any, context_id: str, error: BaseException | None) -> None:
    _voice_of(service).end(context_id, error)


def _failing(service: Any, push: Any) -> Any:
    async def push_error_frame(error: Any, *args: Any, **kwargs: Any) -> Any:
        _fail(service, error)
        return await push(error, *args, **kwargs)

    return push_error_frame


@quietly
def _fail(service: Any, error: Any) -> None:
    _voice_of(service).fail(str(error.error), is_free=costs_nothing_on_error(service))


def _reconnecting(service: Any, again: Any) -> Any:
    """Before it connects again, Pipecat ends the audio contexts of the old connection as if they were complete."""

    async def reconnect_websocket(*args: Any, **kwargs: Any) -> Any:
        _lose_connection(service)
        return await again(*args, **kwargs)

    return reconnect_websocket


@quietly
def _lose_connection(service: Any) -> None:
    _voice_of(service).lose_connection()


def _speaking(tracer: Tracer, service: Any, run: Any) -> Any:
    def run_tts(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        source = run(*args, **kwargs)
        text = args[0] if args else kwargs.get("text", "")
        context_id = args[1] if len(args) > 1 else kwargs.get("context_id", "")
        character_count = len(text) if isinstance(text, str) else 0
        speak = _streamed if getattr(service, "_is_streaming_tokens", False) else _spoken
        return speak(tracer, service, source, character_count, context_id if isinstance(context_id, str) else "")

    return run_tts


async def _spoken(
    tracer: Tracer, service: Any, source: Any, character_count: int, context_id: str
) -> AsyncGenerator[Any, None]:
    """One piece of text, one run."""
    started = begin(tracer, service, _SPEECH)
    if started is not None:
        # Many services report once the vendor has answered: the text is with it before.
        started.estimate(names.INPUT_CHARACTERS, character_count)
        _send(service, started)
    error: BaseException | None = None
    try:
        async for frame in in_context(source, started.context if started is not None else None):
            if started is not None and type(frame).__name__ == _SOUND:
                started.came()
            yield frame
    except BaseException as raised:
        error = raised
        raise
    finally:
        await source.aclose()
        if started is not None:
            _has_spoken(service, started, context_id, error)


@quietly
def _send(service: Any, run: Run) -> None:
    _voice_of(service).sending.add(run)


@quietly
def _has_spoken(service: Any, run: Run, context_id: str, error: BaseException | None) -> None:
    _voice_of(service).sending.discard(run)
    if error is None and run.has_usage and context_id and is_on_socket(service):
        _voice_of(service).wait(context_id, run)
    else:
        run.end(error)


async def _streamed(
    tracer: Tracer, service: Any, source: Any, character_count: int, context_id: str
) -> AsyncGenerator[Any, None]:
    """One token of an utterance, which is a run as a whole."""
    utterance = _utterance_of(tracer, service, character_count, context_id)
    try:
        async for frame in in_context(source, utterance.context if utterance is not None else None):
            yield frame
    finally:
        await source.aclose()
