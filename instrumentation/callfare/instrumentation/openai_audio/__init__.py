"""OpenAI speech: text to speech, transcription, translation, and the realtime API.

    OpenAIAudioInstrumentor().instrument()          # or `opentelemetry-instrument`, entry point `openai_audio`

Chat, responses and embeddings are opentelemetry-instrumentation-openai's; nothing here overlaps with it.
| call | quantities |
|---|---|
| `audio.speech.create` | characters; seconds of the answer, in all six formats; tokens where the answer is SSE |
| `audio.transcriptions`, `audio.translations` | tokens or seconds as answered, else seconds of the upload |
| `realtime`, `beta.realtime` | tokens of every response, audio apart; those or seconds of every transcribed utterance |
| `realtime.translations` | seconds of audio sent, in deltas |
| `live` with `sideband` and `forks` | seconds as stated, in deltas; tokens of what it hands on to other models |
Sync and async, streamed, `with_raw_response` and `with_streaming_response`. Where Traceloop's instrumentor sees
`beta.realtime` as well, the two spans have one response id and are billed once.

Hosts that are known to take the option (`_usage_hosts.py`) are also asked for the usage of streamed chat completions;
CALLFARE_INCLUDE_USAGE=1 asks every host, 0 none. The chunk with the usage is taken out outside all wrappers that are
there: by hand, instrument other instrumentations of OpenAI first. `with_raw_response`, `with_streaming_response` and
`completions.create` are left as they are.
"""

from collections.abc import Callable
from typing import ClassVar

from opentelemetry.trace import Tracer

from callfare import environment
from callfare.calls.span import CallRequest
from callfare.instrumentation.openai_audio import _live, _wrap
from callfare.instrumentation.openai_audio._events import (
    MakeListener,
    async_closing,
    async_receiving,
    closing,
    receiving,
)
from callfare.instrumentation.openai_audio._opening import (
    Reserving,
    async_opening,
    conversation_request,
    opening,
    translation_request,
)
from callfare.instrumentation.openai_audio._realtime import Conversation
from callfare.instrumentation.openai_audio._stream_usage import StreamUsageInstrumentor
from callfare.instrumentation.openai_audio.package import _instruments  # pyright: ignore[reportPrivateUsage]
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["OpenAIAudioInstrumentor"]


def _connection_wraps(module: str, name: str, make_listener: MakeListener) -> list[Wrap]:
    return [
        Wrap(f"openai.resources.{module}", f"{name}.recv_bytes", receiving(make_listener)),
        Wrap(f"openai.resources.{module}", f"Async{name}.recv_bytes", async_receiving(make_listener)),
        Wrap(f"openai.resources.{module}", f"{name}.close", closing),
        Wrap(f"openai.resources.{module}", f"Async{name}.close", async_closing),
    ]


def _opening_wraps(
    module: str, name: str, make_listener: Callable[[Tracer], Reserving], request_of: Callable[[str], CallRequest]
) -> list[Wrap]:
    enter = opening(make_listener, request_of)
    enter_async = async_opening(make_listener, request_of)
    return [
        Wrap(f"openai.resources.{module}", f"{name}Manager.__enter__", enter),
        Wrap(f"openai.resources.{module}", f"{name}Manager.enter", enter),
        Wrap(f"openai.resources.{module}", f"Async{name}Manager.__aenter__", enter_async),
        Wrap(f"openai.resources.{module}", f"Async{name}Manager.enter", enter_async),
    ]


_TRANSLATIONS = "realtime.translations.translations"


class OpenAIAudioInstrumentor(CallfareInstrumentor):
    """Records characters, seconds and tokens of OpenAI's audio APIs."""

    name: ClassVar[str] = "openai_audio"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("openai.resources.audio.speech", "Speech.create", _wrap.create_speech),
        Wrap("openai.resources.audio.speech", "AsyncSpeech.create", _wrap.create_speech_async),
        Wrap("openai.resources.audio.transcriptions", "Transcriptions.create", _wrap.create_transcription),
        Wrap("openai.resources.audio.transcriptions", "AsyncTranscriptions.create", _wrap.create_transcription_async),
        Wrap("openai.resources.audio.translations", "Translations.create", _wrap.create_transcription),
        Wrap("openai.resources.audio.translations", "AsyncTranslations.create", _wrap.create_transcription_async),
        *_connection_wraps("realtime.realtime", "RealtimeConnection", Conversation),
        *_connection_wraps("beta.realtime.realtime", "RealtimeConnection", Conversation),
        *_connection_wraps("live.live", "LiveConnection", _live.Live),
        *_connection_wraps("live.sideband", "SidebandConnection", _live.Live),
        *_connection_wraps("live.forks", "ForksConnection", _live.Live),
        *_connection_wraps(_TRANSLATIONS, "TranslationsConnection", _live.Translation),
        *_opening_wraps("realtime.realtime", "RealtimeConnection", Conversation, conversation_request),
        *_opening_wraps("beta.realtime.realtime", "RealtimeConnection", Conversation, conversation_request),
        *_opening_wraps(_TRANSLATIONS, "TranslationsConnection", _live.Translation, translation_request),
        Wrap(f"openai.resources.{_TRANSLATIONS}", "TranslationsConnection.send", _live.sending),
        Wrap(f"openai.resources.{_TRANSLATIONS}", "AsyncTranslationsConnection.send", _live.async_sending),
    )

    def started(self, tracer: Tracer) -> None:  # noqa: ARG002 - the base class's signature
        """Ask for the usage of streamed chat completions, unless the operator does not want that."""
        if environment.includes_stream_usage() is not False:
            StreamUsageInstrumentor().instrument()

    def stopped(self) -> None:
        """No longer ask."""
        asking = StreamUsageInstrumentor()
        if asking.is_instrumented_by_opentelemetry:
            asking.uninstrument()
