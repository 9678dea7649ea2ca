"""OpenAI speech: text to speech, transcription, translation, and the realtime API.

    OpenAIAudioInstrumentor().instrument()          # or `opentelemetry-instrument`, entry point `openai_audio`

Chat, responses and embeddings are opentelemetry-instrumentation-openai's; nothing here overlaps with it.
| call | quantities |
|---|---|
| `audio.speech.create` | characters; seconds of pcm and wav answers; tokens where the answer is SSE |
| `audio.transcriptions.create`, `audio.translations.create` | tokens or seconds as answered; seconds of a WAV upload |
| `realtime` | tokens of every response, audio apart; tokens or seconds of every transcribed utterance |
Sync and async, streamed, `with_raw_response` and `with_streaming_response`. Not covered: `beta.realtime`
(Traceloop wraps it) and `live`. CALLFARE_INCLUDE_USAGE=1 also asks for usage on streamed chat completions.
"""

from typing import ClassVar

from callfare.instrumentation.openai_audio import _realtime, _wrap
from callfare.instrumentation.openai_audio.package import _instruments  # pyright: ignore[reportPrivateUsage]
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["OpenAIAudioInstrumentor"]


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
        Wrap("openai.resources.realtime.realtime", "RealtimeConnection.parse_event", _realtime.parse_event),
        Wrap("openai.resources.realtime.realtime", "AsyncRealtimeConnection.parse_event", _realtime.parse_event),
    )
