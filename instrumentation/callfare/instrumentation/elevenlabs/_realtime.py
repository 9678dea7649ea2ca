"""ElevenLabs' websockets as the SDK drives them: `convert_realtime`, and Scribe's realtime transcription.

`convert_realtime` cuts the application's text into chunks and sends each the moment `text_chunker` yields it:
counted there, the characters are those on the wire, the blank it appends to a chunk included, the opening " "
and the closing "" not. A barge-in leaves the rest uncounted, because it was never sent.
Scribe receives audio for as long as a call lasts: a `Session` reports it in deltas.
"""

import asyncio
import time
import weakref
from collections.abc import Iterator
from typing import Any

from opentelemetry.trace import Tracer

from callfare import attributes as names
from callfare.audio.duration import format_bytes_per_second
from callfare.calls.failure import is_refusal
from callfare.calls.running import opening
from callfare.calls.session import Session
from callfare.calls.span import CallRequest, CallSpan
from callfare.calls.stream import watch_generator
from callfare.calls.websocket import record_refusal
from callfare.calls.wrapping import Wrapper, begin
from callfare.guard import quietly
from callfare.instrumentation.elevenlabs._ends import Sessions, end, ending_async
from callfare.instrumentation.elevenlabs._usage import listen_request, realtime_speech_request

__all__ = ["close", "connect", "convert_realtime", "emit_close", "send", "text_chunker"]

_sessions: Sessions = weakref.WeakKeyDictionary()


class _CountedText:
    """The application's text with the call its chunks belong to, once that has begun."""

    call: CallSpan | None = None

    def __init__(self, text: Iterator[str]) -> None:
        self._text = text

    def __iter__(self) -> Iterator[str]:
        return iter(self._text)


def convert_realtime(tracer: Tracer) -> Wrapper:
    """Wrapper of `RealtimeTextToSpeechClient.convert_realtime`, a lazy generator."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if "text" not in kwargs:
            return wrapped(*args, **kwargs)  # which raises the error
        text = _CountedText(kwargs["text"])
        source = wrapped(*args, **{**kwargs, "text": text})

        def start() -> tuple[CallSpan | None, Any]:
            text.call = begin(tracer, realtime_speech_request, instance, args, kwargs)
            return text.call, source

        return watch_generator(start)

    return wrapper


def text_chunker(_tracer: Tracer) -> Wrapper:
    """Wrapper of `elevenlabs.realtime_tts.text_chunker`: every chunk it yields is sent next."""

    def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        chunks = wrapped(*args, **kwargs)
        text = args[0] if args else kwargs.get("chunks")
        call = text.call if isinstance(text, _CountedText) else None
        return chunks if call is None else _count(chunks, call)

    return wrapper


def _count(chunks: Iterator[str], call: CallSpan) -> Iterator[str]:
    for chunk in chunks:
        call.raise_hold(names.INPUT_CHARACTERS, len(chunk))  # refused, it is not sent
        call.add(names.INPUT_CHARACTERS, len(chunk))
        call.has_output = True  # on its way over an open connection: an error of the application's text refuses nothing
        yield chunk


def connect(tracer: Tracer) -> Wrapper:
    """Wrapper of `ScribeRealtime.connect`: the session begins when the socket is open."""

    async def wrapper(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        options = args[0] if args else kwargs.get("options")
        started_at_unix_ns = time.time_ns()
        with opening(_read_options(options)):
            try:
                connection = await wrapped(*args, **kwargs)
            except Exception as error:
                _refused(tracer, options, error, started_at_unix_ns)
                raise
            _open(tracer, connection, options)
        return connection

    return wrapper


@quietly
def _read_options(options: Any) -> CallRequest:
    return listen_request(options)


@quietly
def _refused(tracer: Tracer, options: Any, error: BaseException, started_at_unix_ns: int) -> None:
    """Options that the SDK itself finds wrong are no call."""
    if is_refusal(error):
        record_refusal(tracer, listen_request(options), error, started_at_unix_ns)


@quietly
def _open(tracer: Tracer, connection: Any, options: Any) -> None:
    form = options.get("audio_format") or "pcm_16000"  # a URL is decoded to this by the SDK's ffmpeg
    rate = format_bytes_per_second(str(getattr(form, "value", form)))
    _sessions[connection] = Session.open(tracer, listen_request(options), bytes_per_second=rate)


def send(_tracer: Tracer) -> Wrapper:
    """Wrapper of `RealtimeConnection.send`: counts the audio once it is on the wire."""

    async def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        data = args[0] if args else kwargs.get("data")
        try:
            result = await wrapped(*args, **kwargs)
        except asyncio.CancelledError:
            _count_sent(instance, data)  # the frame is in the transport before `send` waits for room
            raise
        _count_sent(instance, data)
        return result

    return wrapper


@quietly
def _count_sent(connection: Any, message: Any) -> None:
    session = _sessions.get(connection)
    if session is not None:
        encoded = message.get("audio_base_64") or ""
        session.add_audio(len(encoded) * 3 // 4 - encoded.count("=", -2))


close = ending_async(_sessions)
"""Wrapper of `RealtimeConnection.close`, however it ends."""


def emit_close(_tracer: Tracer) -> Wrapper:
    """Wrapper of `RealtimeConnection._emit_close`: the server hung up."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        end(_sessions, instance)
        return wrapped(*args, **kwargs)

    return wrapper
